//! A thousand guests on one host: launched by eight clients at once, all listed, entered, deleted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sc_tests::guests::BUSYBOX;
use sc_tests::{Daemon, HostSnapshot, processes, report, until, warmed};

const GUESTS: usize = 1000;
const CLIENTS: usize = 8;

/// How many lists are timed.
const LISTS: usize = 100;

/// How long the daemon is watched while nobody asks it anything.
const IDLE: Duration = Duration::from_secs(30);

/// How long the work behind the answers may take.
const BEHIND: Duration = Duration::from_secs(300);

fn tell(line: &str) {
    report("a thousand guests", line);
}

fn name(number: usize) -> String {
    format!("c{number}")
}

/// Lets the clients do something with each guest, in turns; returns how long all of them took.
fn each(act: impl Fn(&str) + Sync) -> Duration {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let _others_stop = StopOthers(&next);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= GUESTS {
                        return;
                    }
                    act(&name(number));
                }
            });
        }
    });
    begun.elapsed()
}

/// Lets no client take up another guest when one has failed.
struct StopOthers<'a>(&'a AtomicUsize);

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(GUESTS, Ordering::Relaxed);
        }
    }
}

fn rate(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    format!("{seconds:.1} s, {:.0} a second", GUESTS as f64 / seconds)
}

/// A network with room for them all: the default one, a /24, has 253 addresses.
fn make_room(daemon: &Daemon) {
    let address = |third: u32| format!("ipv4.address=10.{third}.240.1/20");
    let made = (200..250).any(|n| daemon.sc(&["network", "create", "wide", &address(n)]).code == 0);
    assert!(made, "a subnet that is free");
}

/// The value of a line of `/proc/PID/FILE`, in KiB.
fn kibibytes(pid: i32, file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

fn daemon_memory(daemon: &Daemon) -> u64 {
    kibibytes(daemon.pid().cast_signed(), "status", "RssAnon:").unwrap()
}

/// The processor time that the daemon has taken so far.
fn processor_time(daemon: &Daemon) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    // A tick is a hundredth of a second on every processor that this runs on.
    Duration::from_millis(ticks * 10)
}

fn tell_lists(daemon: &Daemon, when: &str) {
    let list = || {
        let begun = Instant::now();
        let ran = daemon.sc(&["list", "-f", "csv", "-c", "ns"]);
        let running = ran.ok().lines().filter(|line| line.ends_with(",RUNNING")).count();
        assert_eq!(running, GUESTS, "all are listed and run");
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..LISTS).map(|_| list()).collect();
    times.sort();
    let at = |percent: usize| times[LISTS * percent / 100 - 1];
    tell(&format!("list, {when}: median {:.1?}, 99 of 100 within {:.1?}", at(50), at(99)));
}

fn tell_agents(daemon: &Daemon) {
    let agents =
        processes(&daemon.dir()).into_iter().filter(|(_, line)| line.starts_with("sc-agent"));
    let sizes: Vec<u64> =
        agents.filter_map(|(pid, _)| kibibytes(pid, "smaps_rollup", "Pss:")).collect();
    assert_eq!(sizes.len(), GUESTS, "an agent each");
    tell(&format!("agent: {} KiB PSS each", sizes.iter().sum::<u64>() / sizes.len() as u64));
}

/// The processor time that the daemon takes meanwhile.
fn used_in(daemon: &Daemon, time: Duration) -> Duration {
    let before = processor_time(daemon);
    std::thread::sleep(time);
    processor_time(daemon) - before
}

/// Guests that have just come up still tell of addresses, and records are written behind: that is no idleness.
fn tell_idle(daemon: &Daemon) {
    let begun = Instant::now();
    until("the daemon is quiet", BEHIND, &true, || {
        used_in(daemon, Duration::from_secs(10)) <= Duration::from_millis(10)
    });
    tell(&format!("daemon, until it is quiet: {:.0?}", begun.elapsed()));
    let used = used_in(daemon, IDLE);
    let percent = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    tell(&format!("daemon, idle: {used:?} of processor in {IDLE:?}, {percent:.2} % of a core"));
}

#[test]
#[ignore = "takes minutes, and the whole machine"]
fn a_thousand_guests_are_launched_listed_entered_and_deleted() {
    let (daemon, _) = warmed();
    make_room(&daemon);
    let before = HostSnapshot::of(&daemon.dir());
    let empty = daemon_memory(&daemon);
    let caller = daemon.caller();
    let launched = each(|name| {
        caller.sc(&["launch", BUSYBOX, name, "-n", "wide"]).ok();
    });
    tell(&format!("launch: {}", rate(launched)));
    tell_lists(&daemon, "while they come up");
    for number in (0..GUESTS).step_by(37) {
        assert_eq!(daemon.inside(&name(number), "hostname"), name(number));
    }
    tell_agents(&daemon);
    tell_idle(&daemon);
    tell_lists(&daemon, "when all is quiet");
    let full = daemon_memory(&daemon);
    let each_has = (full - empty) as f64 / GUESTS as f64;
    tell(&format!("daemon: {empty} KiB empty, {full} KiB with all, {each_has:.1} KiB each"));

    let deleted = each(|name| {
        caller.sc(&["delete", "--force", name]).ok();
    });
    tell(&format!("delete: {}", rate(deleted)));
    until("they leave nothing", BEHIND, &Vec::new(), || {
        HostSnapshot::of(&daemon.dir()).more_than(&before)
    });
    tell(&format!("daemon: {} KiB after all are gone", daemon_memory(&daemon)));
}
