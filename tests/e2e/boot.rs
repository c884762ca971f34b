//! The guest table: every operating system does what one expects of a machine.

use std::time::{Duration, Instant};

use sc_tests::guests::{BUSYBOX, Busybox, Debian};
use sc_tests::{
    Daemon, HostSnapshot, Terminal, address, eventually, namespace_owner, patient, pid, report,
    state, status, until,
};

/// How long a guest may take to boot on a busy machine.
const BOOT: Duration = Duration::from_secs(90);

/// How long a guest may take to stop in order. The daemon's own patience is longer: who needs
/// that has not stopped in order.
const STOP: Duration = Duration::from_secs(20);

const TABLE: &str = "guest table";

/// An operating system of the table.
struct Guest {
    name: &'static str,
    title: &'static str,
    image: &'static str,
    import: fn(&Daemon),
    /// Prints `up` once the guest is, by its own idea.
    up: &'static str,
    /// Prints what failed inside, and what was masked lest it fail; nothing is right.
    failed: &'static str,
}

const SYSTEMD_UP: &str = "[ \"$(systemctl is-system-running)\" = running ] && echo up";
const SYSTEMD_FAILED: &str =
    "systemctl --failed --no-legend --plain; find /etc/systemd/system -lname /dev/null";
/// A getty whose terminal is not there ends, and is started again, for ever.
const SYSV_FAILED: &str = "sed -n 's/^[^#].*getty .* //p' /etc/inittab | \
    while read -r terminal; do [ -c /dev/$terminal ] || echo getty on $terminal; done";

const GUESTS: [Guest; 4] = [
    Guest {
        name: "bookworm",
        title: "Debian 12, systemd 252",
        image: "debian-12",
        import: |daemon| Debian::Bookworm.import(daemon),
        up: SYSTEMD_UP,
        failed: SYSTEMD_FAILED,
    },
    Guest {
        name: "trixie",
        title: "Debian 13, systemd 257",
        image: "debian-13",
        import: |daemon| Debian::Trixie.import(daemon),
        up: SYSTEMD_UP,
        failed: SYSTEMD_FAILED,
    },
    Guest {
        name: "sysvinit",
        title: "Debian 12, sysvinit",
        image: "debian-12-sysvinit",
        import: |daemon| Debian::BookwormSysvinit.import(daemon),
        up: "[ \"$(runlevel)\" = 'N 2' ] && ! grep -qsx rc /proc/[0-9]*/comm && echo up",
        failed: SYSV_FAILED,
    },
    Guest {
        name: "busybox",
        title: "busybox",
        image: BUSYBOX,
        // It is there already, as the peer's.
        import: |_| (),
        up: "[ -e /run/up ] && echo up",
        failed: "true",
    },
];

#[test]
fn every_guest_of_the_table_lives_as_a_machine_does() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "peer"]).ok();
    let guests: Vec<_> = GUESTS.iter().filter(|guest| is_wanted(guest)).collect();
    let outcomes: Vec<_> = guests.iter().flat_map(|guest| live(&daemon, guest)).collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let [ok, failed, skipped] = [Outcome::Ok, Outcome::Failed, Outcome::Skipped].map(count);
    let checks = format!("checks: {ok} ok, {failed} failed, skipped: {skipped}");
    report(TABLE, &format!("guests: {}, {checks}", guests.len()));
    assert!(!guests.is_empty(), "SC_TEST_GUESTS names none of the table");
    assert_eq!((failed, skipped), (0, 0), "{checks}");
}

/// Whether it is among the names in `SC_TEST_GUESTS`; without that, all are.
fn is_wanted(guest: &Guest) -> bool {
    let wanted = std::env::var("SC_TEST_GUESTS");
    wanted.map_or(true, |names| names.split(',').any(|name| name == guest.name))
}

/// A check of the table: what it is called, and what fails it with a panic.
type Check = (&'static str, fn(&Daemon, &Guest));

const CHECKS: [Check; 13] = [
    ("up by its own idea, nothing failed", is_up),
    ("one address, the same in the list and inside", has_its_address),
    ("resolves another instance and pings it", reaches_its_peer),
    ("is found by its name", is_found_by_name),
    ("unprivileged, and its id range owns its user namespace", is_unprivileged),
    ("login prompt on the console", has_a_login),
    ("console: ctrl-c and job control are the login's", has_job_control),
    ("exec: two streams, exit codes, signals", exec_reports),
    ("exec: environment, folder, user and group", exec_takes_options),
    ("exec: a terminal with -t, none with -T", exec_takes_terminals),
    ("reboots from inside", reboots_from_inside),
    ("stops in order within seconds", stops_in_order),
    ("powers off from inside", powers_off_from_inside),
];

/// What has become of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    /// The guest could not be had, or had failed an earlier check.
    Skipped,
}

/// Makes one check after the other, until the first that fails.
fn live(daemon: &Daemon, guest: &Guest) -> Vec<Outcome> {
    let mut lives = passes(|| (guest.import)(daemon));
    let begin = Instant::now();
    lives = lives
        && passes(|| {
            daemon.sc(&["launch", guest.image, guest.name]).ok();
        });
    let launched = begin.elapsed();
    let mut outcomes = Vec::new();
    for (what, check) in CHECKS {
        let begin = Instant::now();
        let outcome = match lives {
            false => Outcome::Skipped,
            true if passes(|| check(daemon, guest)) => Outcome::Ok,
            true => Outcome::Failed,
        };
        lives = outcome == Outcome::Ok;
        let (told, took) = (format!("{outcome:?}").to_lowercase(), begin.elapsed().as_millis());
        report(TABLE, &format!("{:24} {what:55} {told:7} {took:6} ms", guest.title));
        outcomes.push(outcome);
    }
    let deleted = daemon.sc(&["delete", "--force", guest.name]);
    if lives {
        deleted.ok();
        report(TABLE, &format!("{:24} launched in {} ms", guest.title, launched.as_millis()));
    }
    outcomes
}

/// Whether it does not panic; what it panics with is shown all the same.
fn passes(check: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
}

fn is_up(daemon: &Daemon, guest: &Guest) {
    until(&format!("{} is up", guest.title), BOOT, &"up".to_owned(), || {
        daemon.exec(guest.name, &["sh", "-c", guest.up]).stdout.trim().to_owned()
    });
    assert_eq!(daemon.inside(guest.name, guest.failed), "", "failed in {}", guest.title);
    assert_eq!(daemon.inside(guest.name, "hostname"), guest.name);
}

fn has_its_address(daemon: &Daemon, guest: &Guest) {
    let listed = eventually("an IPv4 address", BOOT, || address(daemon, guest.name, "inet"));
    let inside = daemon.inside(guest.name, "ip -o -4 address show dev eth0 scope global");
    assert_eq!(inside.lines().count(), 1, "one address: {inside}");
    assert!(inside.contains(&format!("inet {listed}/")), "{listed} is not {inside}");
    let leases = HostSnapshot::of(&daemon.dir());
    let leases = leases.of_kind("lease").join("\n");
    assert!(leases.contains(&listed), "{listed} comes from DHCP: {leases}");
    let columns = daemon.sc(&["list", guest.name, "-c", "4", "-f", "csv"]);
    assert!(columns.ok().contains(&listed), "{columns:?}");
}

fn reaches_its_peer(daemon: &Daemon, guest: &Guest) {
    let peer = eventually("the peer's address", BOOT, || address(daemon, "peer", "inet"));
    let seen = daemon.inside(guest.name, "ping -4 -c 1 -W 5 peer");
    assert!(seen.contains(&peer), "peer is {peer}: {seen}");
}

fn is_found_by_name(daemon: &Daemon, guest: &Guest) {
    let seen = daemon.inside("peer", &format!("ping -c 1 -W 5 {}", guest.name));
    assert!(seen.contains("1 packets received"), "{seen}");
}

fn is_unprivileged(daemon: &Daemon, guest: &Guest) {
    let map = daemon.inside(guest.name, "cat /proc/self/uid_map");
    let words: Vec<u64> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [inside, outside, count] = words[..] else { panic!("one range: {map}") };
    assert_eq!((inside, count), (0, 65_536), "{map}");
    assert!((0x7000_0000..0x7FFE_0000).contains(&outside), "{map}");
    let pid = pid(daemon, guest.name);
    let proc = format!("/proc/{pid}");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&proc).unwrap());
    assert_eq!(u64::from(owner), outside, "PID 1 belongs to the range's first id");
    assert_eq!(u64::from(namespace_owner(pid)), outside, "and so does its user namespace");
}

fn has_a_login(daemon: &Daemon, guest: &Guest) {
    eventually("a login prompt on the console", BOOT, || {
        let log = daemon.sc(&["console", "--show-log", guest.name]);
        log.ok().contains("login:").then_some(())
    });
}

fn has_job_control(daemon: &Daemon, guest: &Guest) {
    const CTRL_C: &str = "\u{3}";
    let init = || {
        let terminal = daemon.inside(guest.name, "cut -d ' ' -f 7 /proc/1/stat");
        (pid(daemon, guest.name), terminal)
    };
    let before = (pid(daemon, guest.name), "0".to_owned());
    assert_eq!(init(), before, "init has no controlling terminal");
    daemon.inside(guest.name, "passwd -d root");
    let mut console = Terminal::run(daemon, &["console", guest.name], (80, 24));
    // The prompt that waits is shown; the next comes from a getty that ctrl-c has not ended.
    console.expect("login:");
    console.type_in(CTRL_C);
    console.type_in("\n");
    console.expect("login:");
    console.type_in("root\n");
    console.expect("#");
    console.type_in("case $- in *m*) echo moni''tored;; *) echo al''one;; esac\n");
    console.expect("monitored");
    console.type_in("sleep 1000\n");
    let sleeps = || !daemon.inside(guest.name, "pidof sleep || true").is_empty();
    eventually("a program runs on the console", BOOT, || sleeps().then_some(()));
    console.type_in(CTRL_C);
    console.type_in("echo ba''ck\n");
    console.expect("back");
    assert!(!sleeps(), "the program has ended by ctrl-c");
    console.type_in("exit\n");
    console.expect("login:");
    console.type_in("\u{1}q");
    assert!(console.ended().success(), "the detach keys leave");
    assert_eq!(init(), before, "ctrl-c does nothing to init");
}

fn exec_reports(daemon: &Daemon, guest: &Guest) {
    let ran = daemon.exec(guest.name, &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let seen = (ran.code, ran.stdout.as_str(), ran.stderr.as_str());
    assert_eq!(seen, (7, "out\n", "err\n"));
    let killed = daemon.exec(guest.name, &["sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.code, 128 + 15, "{killed:?}");
    let missing = daemon.exec(guest.name, &["no-such-program"]);
    assert_eq!(missing.code, 127, "{missing:?}");
    let fed = daemon.sc_with_input(&["exec", guest.name, "--", "cat"], b"through\0both");
    assert_eq!(fed.ok(), "through\0both");
}

fn exec_takes_options(daemon: &Daemon, guest: &Guest) {
    let line = "echo $WHAT $(pwd) $(id -u) $(id -g)";
    let mut args = vec!["exec", guest.name, "--env", "WHAT=ever", "--cwd", "/srv"];
    args.extend(["--user", "33", "--group", "8", "--", "sh", "-c", line]);
    assert_eq!(daemon.sc(&args).ok(), "ever /srv 33 8");
    let plain = daemon.inside(guest.name, "echo $HOME $USER $(id -u) $PATH");
    assert!(plain.starts_with("/root root 0 /"), "{plain}");
}

fn exec_takes_terminals(daemon: &Daemon, guest: &Guest) {
    let with = daemon.sc(&["exec", "-t", guest.name, "--", "tty"]);
    assert!(with.ok().starts_with("/dev/pts/"), "{with:?}");
    let without = daemon.sc(&["exec", "-T", guest.name, "--", "tty"]);
    assert_eq!((without.code, without.stdout.trim()), (1, "not a tty"));
}

fn reboots_from_inside(daemon: &Daemon, guest: &Guest) {
    let before = pid(daemon, guest.name);
    // The connection may end before the program does.
    daemon.exec(guest.name, &["reboot"]);
    eventually("another init after the reboot", BOOT, || {
        let now = state(daemon, guest.name)?;
        let pid = now["state"]["pid"].as_u64()?;
        (now["status"] == "Running" && pid != 0 && pid != before).then_some(())
    });
    is_up(daemon, guest);
    has_its_address(daemon, guest);
}

fn stops_in_order(daemon: &Daemon, guest: &Guest) {
    let stopped = daemon.sc(&["stop", guest.name]);
    stopped.ok();
    assert!(stopped.took < patient(STOP), "{} took {:?} to stop", guest.title, stopped.took);
    assert_eq!(status(daemon, guest.name), "Stopped");
    assert_eq!(address(daemon, guest.name, "inet"), None);
    daemon.sc(&["start", guest.name]).ok();
    is_up(daemon, guest);
}

fn powers_off_from_inside(daemon: &Daemon, guest: &Guest) {
    daemon.exec(guest.name, &["poweroff"]);
    until("stopped", STOP, &"Stopped".to_owned(), || status(daemon, guest.name));
}
