//! Guests that hang or flood, and disks that hang or are full: what is asked is answered in a bounded
//! time, with the culprit's name, and neither the daemon nor the neighbours are harmed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Begun, Daemon, eventually, status, until};

/// With guests that are called so, the first of whom is to be sick.
fn with_guests(config: &[&str]) -> Daemon {
    let daemon = Daemon::start();
    Busybox::import(&daemon);
    let mut args = vec!["launch", BUSYBOX, "c1"];
    args.extend(config.iter().flat_map(|setting| ["-c", setting]));
    daemon.sc(&args).ok();
    daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
    daemon
}

#[track_caller]
fn others_are_unharmed(daemon: &Daemon) {
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
/// be killed. The one that waits holds the connection itself, which therefore outlives its reader.
const HUNG_FILES: &str = r"
exec 3<>/dev/fuse
mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung /etc || exit 1
dd bs=1M count=1 of=/dev/null <&3 2>/dev/null
{ printf '\120\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\7\0\0\0\37\0\0\0\0\0\0\0\0\0\4\0'; head -c 48 /dev/zero; } >/tmp/greeting
dd bs=80 count=1 of=/tmp/sent </tmp/greeting 2>/dev/null
dd bs=80 count=1 </tmp/greeting >&3 2>/dev/null || exit 2
setsid dd bs=1M of=/dev/null <&3 >/dev/null 2>&1 &
setsid stat /etc/hung >/dev/null 2>&1 &
while ! grep -q request_wait /proc/$!/wchan; do sleep 0.1; done
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
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
}

#[test]
fn an_init_that_ignores_its_signal_is_told_and_killed() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    let init = image.root().join("sbin/init");
    std::fs::remove_file(&init).unwrap();
    let script = "#!/bin/sh\ntrap '' PWR USR1 USR2 TERM INT\nwhile :; do sleep 1; done\n";
    std::fs::write(&init, script).unwrap();
    std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    image.import_as(&daemon, "deaf");
    daemon.sc(&["launch", "deaf", "c1"]).ok();
    let refused = daemon.sc(&["stop", "c1", "--timeout", "3"]);
    refused.refused("within 3 s: wait longer (--timeout) or kill it (--force)");
    assert_eq!(status(&daemon, "c1"), "Running");
    daemon.sc(&["stop", "--force", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
}

/// A disk of the test's own, with a pool on it.
struct Disk(PathBuf);

impl Disk {
    #[track_caller]
    fn with_pool(daemon: &Daemon, name: &str, mebibytes: u64) -> Self {
        let file = daemon.scratch().join("disk");
        std::fs::File::create(&file).unwrap().set_len(mebibytes << 20).unwrap();
        run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &file]);
        let folder = daemon.scratch().join("mnt");
        std::fs::create_dir(&folder).unwrap();
        run("mount", &[Path::new("-o"), Path::new("loop"), &file, &folder]);
        let disk = Self(folder);
        let source = disk.0.join("pool");
        std::fs::create_dir(&source).unwrap();
        daemon
            .sc(&["storage", "create", name, "overlay", &format!("source={}", source.display())])
            .ok();
        disk
    }

    fn freeze(&self) {
        run("fsfreeze", &[Path::new("--freeze"), &self.0]);
    }

    fn thaw(&self) {
        run("fsfreeze", &[Path::new("--unfreeze"), &self.0]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for (program, option) in [("fsfreeze", "--unfreeze"), ("umount", "--lazy")] {
            let mut command = Command::new(program);
            let _ = command.arg(option).arg(&self.0).stderr(Stdio::null()).status();
        }
    }
}

#[track_caller]
fn run(program: &str, args: &[&Path]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}

#[test]
fn while_a_disk_hangs_the_culprit_is_named_and_when_it_answers_all_goes_on() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", 64);
    daemon.sc(&["launch", BUSYBOX, "s1", "-s", "slow"]).ok();
    daemon.sc(&["init", BUSYBOX, "s2", "-s", "slow"]).ok();
    daemon.inside("s1", "setsid sh -c 'while :; do echo x >/file; done' >/dev/null 2>&1 &");
    disk.freeze();
    let asked = [&["stop", "--force", "s1"][..], &["delete", "s2"]].map(|args| daemon.begin(args));
    others_are_unharmed(&daemon);
    let [stop, delete] = asked.map(Begun::ended);
    stop.refused("(\"sh\", waits in ");
    delete.refused("pool slow does not answer within 30 s");
    others_are_unharmed(&daemon);
    disk.thaw();
    eventually("it can be stopped", Duration::from_secs(30), || {
        let stopped = daemon.sc(&["stop", "--force", "s1"]).code == 0;
        (stopped || status(&daemon, "s1") == "Stopped").then_some(())
    });
    daemon.sc(&["delete", "s1", "s2"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn what_hangs_on_a_disk_keeps_neither_profiles_nor_launches_waiting() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", 64);
    for name in ["s1", "s2"] {
        daemon.sc(&["init", BUSYBOX, name, "-s", "slow"]).ok();
    }
    disk.freeze();
    let soon = Duration::from_secs(15);
    let delete = daemon.begin(&["delete", "s1"]);
    std::thread::sleep(Duration::from_millis(500));
    let set = daemon.begin(&["profile", "set", "default", "user.a=1"]).ended_within(soon);
    set.ok();
    let start = daemon.begin(&["start", "s2"]);
    std::thread::sleep(Duration::from_millis(500));
    let set = daemon.begin(&["profile", "set", "default", "user.b=1"]);
    std::thread::sleep(Duration::from_millis(500));
    daemon.begin(&["launch", BUSYBOX, "c3"]).ended_within(soon).ok();
    let shown = daemon.sc(&["config", "show", "c3", "--expanded"]).ok().to_owned();
    assert!(shown.contains("user.b"), "it follows what was changed before it: {shown}");
    others_are_unharmed(&daemon);
    delete.ended().refused("pool slow does not answer within 30 s");
    let _ = start.ended();
    set.ended().ok();
    disk.thaw();
    daemon.sc(&["delete", "--force", "s1", "s2"]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_launch_onto_a_pool_that_hangs_names_the_pool_and_leaves_nothing() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", 64);
    disk.freeze();
    // The first has the image's layer to be made, which the others wait for.
    let launches = ["s1", "s2", "s3"].map(|name| {
        let launch = daemon.begin(&["launch", BUSYBOX, name, "-s", "slow"]);
        std::thread::sleep(Duration::from_millis(200));
        launch
    });
    others_are_unharmed(&daemon);
    daemon.begin(&["launch", BUSYBOX, "c3"]).ended_within(Duration::from_secs(15)).ok();
    for launch in launches {
        let refused = launch.ended_within(Duration::from_secs(60));
        refused.refused("pool slow does not answer within 30 s: see to its disk or file system");
    }
    disk.thaw();
    daemon.sc(&["launch", BUSYBOX, "s1", "-s", "slow"]).ok();
    disk.freeze();
    let launch = daemon.begin(&["launch", BUSYBOX, "s2", "-s", "slow"]);
    let refused = launch.ended_within(Duration::from_secs(90));
    refused.refused("pool slow does not answer within 30 s: see to its disk or file system");
    others_are_unharmed(&daemon);
    disk.thaw();
    if status(&daemon, "s2") != "-" {
        daemon.sc(&["delete", "s2"]).ok();
    }
    let volumes = disk.0.join("pool/volumes");
    until("no volume is left behind", Duration::from_secs(30), &1, || {
        std::fs::read_dir(&volumes).unwrap().count()
    });
    daemon.sc(&["launch", BUSYBOX, "s2", "-s", "slow"]).ok();
    daemon.sc(&["delete", "--force", "s1", "s2"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_guest_that_fills_its_disk_harms_nobody_on_others_and_makes_room_when_it_goes() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "small", 24);
    daemon.sc(&["launch", BUSYBOX, "s1", "-s", "small"]).ok();
    daemon.sc(&["stop", "--force", "s1"]).ok();
    daemon.sc(&["start", "s1"]).ok();
    let fill = "dd if=/dev/zero of=/file bs=64k 2>&1; dd if=/dev/zero of=/rest bs=1 2>&1; true";
    let told = daemon.inside("s1", fill);
    assert!(told.contains("No space left on device"), "{told}");
    assert_eq!(daemon.inside("s1", "echo alive"), "alive", "it can still be looked into");
    others_are_unharmed(&daemon);
    daemon.sc(&["launch", BUSYBOX, "s2", "-s", "small"]).refused("the storage is full");
    assert_eq!(status(&daemon, "s2"), "-");
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
    eventually("it is at its limit", Duration::from_secs(60), || {
        let current = sc_tests::cgroup_value(&daemon, "c1", "pids", &["pids.current"]);
        (current.parse::<u32>().unwrap() >= 190).then_some(())
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
