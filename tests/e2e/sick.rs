//! Guests that hang, flood or fill their disk: what is asked is answered in a bounded time, with the
//! culprit's name, and neither the daemon nor the neighbours are harmed. Disks that hang: hung.rs.

use std::process::Stdio;
use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Begun, Daemon, eventually, status, until};

use crate::disks::Disk;

/// With guests that are called so, the first of whom is to be sick.
pub(crate) fn with_guests(config: &[&str]) -> Daemon {
    let daemon = Busybox::daemon();
    let mut args = vec!["launch", BUSYBOX, "c1"];
    args.extend(config.iter().flat_map(|setting| ["-c", setting]));
    daemon.sc(&args).ok();
    daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
    daemon
}

#[track_caller]
pub(crate) fn others_are_unharmed(daemon: &Daemon) {
    assert_eq!(daemon.inside("c2", "echo alive"), "alive", "the neighbour");
    assert_eq!(status(daemon, "c2"), "Running");
    daemon.sc(&["info", "c2"]).ok();
    daemon.sc(&["info"]).ok();
}

/// What the daemon holds: descriptors, and memory of its own in KiB.
fn weight(daemon: &Daemon) -> (usize, u64) {
    let proc = format!("/proc/{}", daemon.pid());
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
    (std::fs::read_dir(format!("{proc}/fd")).unwrap().count(), memory)
}

/// Mounts FUSE on `/etc` and answers the kernel's greeting (its first request is number 2; protocol 7.31,
/// look-ups in parallel), and nothing else: all requests are read, so that who waits for an answer cannot
/// be killed. The one that waits holds the connection itself, which therefore outlives its reader. It waits
/// for the answer or, where the guest's DHCP script was first, for the folder that this has locked.
const HUNG_FILES: &str = r"
exec 3<>/dev/fuse
mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung /etc || exit 1
dd bs=1M count=1 of=/dev/null <&3 2>/dev/null
{ printf '\120\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\7\0\0\0\37\0\0\0\0\0\0\0\0\0\4\0'; head -c 48 /dev/zero; } >/tmp/greeting
dd bs=80 count=1 of=/tmp/sent </tmp/greeting 2>/dev/null
dd bs=80 count=1 </tmp/greeting >&3 2>/dev/null || exit 2
setsid dd bs=1M of=/dev/null <&3 >/dev/null 2>&1 &
setsid stat /etc/hung >/dev/null 2>&1 &
looks=0
while ! grep -q 'request_wait\|walk_component\|lookup_slow' /proc/$!/wchan; do
    looks=$((looks + 1))
    [ $looks -lt 300 ] || exit 3
    sleep 0.1
done
echo hung
";

#[test]
fn a_guest_whose_files_hang_for_ever_can_be_stopped_and_deleted() {
    let daemon = with_guests(&[]);
    let hung = daemon.inside("c1", HUNG_FILES);
    assert_eq!(hung, "hung");
    daemon.exec("c1", &["true"]).refused("read the guest's files within 5 s");
    others_are_unharmed(&daemon);
    daemon.sc(&["info", "c1"]).ok();
    daemon.sc(&["stop", "c1", "--timeout", "2"]).refused("did not stop within 2 s: wait longer");
    daemon.sc(&["stop", "--force", "c1"]).ok();
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", HUNG_FILES), "hung");
    daemon.sc(&["delete", "--force", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "-");
    others_are_unharmed(&daemon);
}

#[test]
fn a_guest_that_hangs_when_its_agent_is_killed_is_cleared_up() {
    let daemon = with_guests(&[]);
    assert_eq!(daemon.inside("c1", HUNG_FILES), "hung");
    let init = sc_tests::pid(&daemon, "c1");
    let stat = std::fs::read_to_string(format!("/proc/{init}/stat")).unwrap();
    let agent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap();
    let agent = rustix::process::Pid::from_raw(agent.parse().unwrap()).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
    until("it is cleared up", Duration::from_secs(60), &"Stopped".to_owned(), || {
        status(&daemon, "c1")
    });
    until("it is told", Duration::from_secs(10), &true, || {
        let log = daemon.sc(&["info", "c1", "--show-log"]).ok().to_owned();
        log.contains("its agent has gone without a word")
    });
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
}

#[test]
fn an_init_that_ignores_its_signal_is_told_and_killed() {
    let daemon = Daemon::start();
    Busybox::deaf().import_as(&daemon, "deaf");
    daemon.sc(&["launch", "deaf", "c1"]).ok();
    let refused = daemon.sc(&["stop", "c1", "--timeout", "3"]);
    refused.refused("within 3 s: wait longer (--timeout) or kill it (--force)");
    assert_eq!(status(&daemon, "c1"), "Running");
    daemon.sc(&["stop", "--force", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
}

#[test]
fn a_guest_that_fills_its_disk_harms_nobody_on_others_and_makes_room_when_it_goes() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "small", "overlay", 24);
    daemon.sc(&["launch", BUSYBOX, "s1", "-s", "small"]).ok();
    daemon.sc(&["stop", "--force", "s1"]).ok();
    daemon.sc(&["start", "s1"]).ok();
    let fill = "dd if=/dev/zero of=/file bs=64k 2>&1; dd if=/dev/zero of=/rest bs=1 2>&1; true";
    let told = daemon.inside("s1", fill);
    assert!(told.contains("No space left on device"), "{told}");
    assert_eq!(daemon.inside("s1", "echo alive"), "alive", "it can still be looked into");
    others_are_unharmed(&daemon);
    let remains_are_gone = || {
        until("its remains are gone", Duration::from_secs(20), &0, || {
            std::fs::read_dir(disk.0.join("pool/trash")).unwrap().count()
        });
    };
    // What was behind may still give back a block or two.
    let full = eventually("nothing fits any more", Duration::from_secs(30), || {
        let ran = daemon.sc(&["launch", BUSYBOX, "s2", "-s", "small"]);
        if ran.code == 0 {
            daemon.sc(&["delete", "--force", "s2"]).ok();
            remains_are_gone();
            daemon.inside("s1", "cat /dev/zero >>/rest 2>/dev/null; true");
        }
        (ran.code != 0).then_some(ran)
    });
    full.refused("is full");
    assert_eq!(status(&daemon, "s2"), "-");
    // Mounting an overlay takes a block or two, which the launch that failed gives back behind its answer.
    remains_are_gone();
    // So does a start; the copy of the configuration may have taken those that were given back.
    daemon.inside("s1", "rm /rest; sync");
    daemon.sc(&["restart", "--force", "s1"]).ok();
    daemon.sc(&["delete", "--force", "s1"]).ok();
    eventually("there is room again", Duration::from_secs(30), || {
        (daemon.sc(&["launch", BUSYBOX, "s3", "-s", "small"]).code == 0).then_some(())
    });
    daemon.sc(&["delete", "--force", "s3"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "small"]).ok();
    drop(disk);
}

#[test]
fn a_guest_that_floods_its_console_fills_neither_memory_nor_disk() {
    let daemon = with_guests(&[]);
    let (_, before) = weight(&daemon);
    daemon.inside(
        "c1",
        "for i in 1 2; do setsid yes 'a line of the flood' >/dev/console 2>&1 & done",
    );
    let log = daemon.dir().join("logs/c1");
    for _ in 0..20 {
        others_are_unharmed(&daemon);
        assert_eq!(daemon.inside("c1", "echo alive"), "alive");
    }
    let shown = daemon.sc(&["console", "--show-log", "c1"]).ok().len();
    assert!(shown > 10_000, "it did flood: {shown}");
    let on_disk = std::fs::read_dir(&log).unwrap().flatten().map(|e| e.metadata().unwrap().len());
    let on_disk: u64 = on_disk.sum();
    assert!(on_disk < 4 << 20, "{on_disk} bytes in {}", log.display());
    let (_, after) = weight(&daemon);
    assert!(after < before + (16 << 10), "the daemon grew from {before} to {after} KiB");
    daemon.sc(&["delete", "--force", "c1"]).ok();
}

#[test]
fn hundreds_of_programs_at_once_hinder_nobody_and_leave_nothing() {
    let daemon = with_guests(&[]);
    daemon.inside("c1", "true");
    let (descriptors, before) = weight(&daemon);
    let clients: Vec<Begun> =
        (0..300).map(|_| daemon.begin(&["exec", "c1", "--", "sleep", "1000"])).collect();
    eventually("they run", Duration::from_secs(60), || {
        others_are_unharmed(&daemon);
        let (_, memory) = weight(&daemon);
        assert!(memory < before + (64 << 10), "the daemon grew from {before} to {memory} KiB");
        (daemon.inside("c2", "true; echo yes") == "yes").then_some(())?;
        let running = sc_tests::processes(&daemon.dir());
        (running.iter().filter(|(_, line)| line == "sleep 1000").count() >= 300).then_some(())
    });
    daemon.sc(&["stop", "--force", "c1"]).ok();
    for client in clients {
        assert_ne!(client.ended().code, 0, "its guest was stopped");
    }
    eventually("the descriptors are closed", Duration::from_secs(30), || {
        (weight(&daemon).0 <= descriptors).then_some(())
    });
    others_are_unharmed(&daemon);
}

#[test]
fn a_fork_bomb_within_its_limit_is_told_as_that_and_can_be_killed() {
    let daemon = with_guests(&["limits.processes=200"]);
    let bomb = "b() { b | b & b; }; b";
    let mut client = daemon.command(&["exec", "c1", "--", "setsid", "sh", "-c", bomb]);
    let client = client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = client.spawn().unwrap();
    // The bomb's shells end when they cannot fork: what sleeps stays when it has burnt down.
    let fill = "while :; do sleep 300 & done >/dev/null 2>&1";
    eventually("it is at its limit", Duration::from_secs(60), || {
        let _ = daemon.exec("c1", &["sh", "-c", fill]);
        let current = sc_tests::cgroup_value(&daemon, "c1", "pids", &["pids.current"]);
        (current.trim().parse::<u32>().unwrap() >= 190).then_some(())
    });
    for _ in 0..10 {
        others_are_unharmed(&daemon);
        let asked = daemon.exec("c1", &["true"]);
        assert!(asked.code == 0 || asked.stderr.contains("EAGAIN"), "{asked:?}");
    }
    daemon.sc(&["stop", "--force", "c1"]).ok();
    client.wait().unwrap();
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
    daemon.sc(&["delete", "--force", "c1"]).ok();
    others_are_unharmed(&daemon);
}
