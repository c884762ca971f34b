//! Disks, and file systems of the host, that hang: what is asked is answered in a bounded time, with the
//! culprit's name, and neither the daemon nor the neighbours are harmed.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Begun, Daemon, Ran, eventually, pid, status, until};

use crate::disks::{Disk, Silent};
use crate::sick::{others_are_unharmed, with_guests};

#[test]
fn while_a_disk_hangs_the_culprit_is_named_and_when_it_answers_all_goes_on() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
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
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
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
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    disk.freeze();
    // The first has the image's layer to be made, which the others wait for.
    let launches = ["s1", "s2", "s3"].map(|name| {
        let launch = daemon.begin(&["launch", BUSYBOX, name, "-s", "slow"]);
        std::thread::sleep(Duration::from_millis(200));
        launch
    });
    daemon.sc(&["init", BUSYBOX, "s1"]).refused("s1 is just being created");
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
    eventually("its name is free", Duration::from_secs(30), || {
        (daemon.sc(&["launch", BUSYBOX, "s2", "-s", "slow"]).code == 0).then_some(())
    });
    daemon.sc(&["delete", "--force", "s1", "s2"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn sources_of_disks_that_do_not_answer_hold_up_only_who_wants_them() {
    let daemon = with_guests(&[]);
    let folder = daemon.scratch().join("silent");
    std::fs::create_dir(&folder).unwrap();
    let source = format!("source={}", folder.display());
    // As many as there are workers of the daemon, and more.
    let names = ["h1", "h2", "h3", "h4"];
    for name in names {
        daemon.sc(&["init", BUSYBOX, name]).ok();
        daemon.sc(&["config", "device", "add", name, "d", "disk", &source, "path=/d"]).ok();
    }
    let silent = Silent::over(&folder);
    let starts = names.map(|name| daemon.begin(&["start", name]));
    std::thread::sleep(Duration::from_secs(1));
    others_are_unharmed(&daemon);
    for start in starts {
        start.ended_within(Duration::from_secs(40)).refused("does not answer within 10 s");
    }
    drop(silent);
    daemon.sc(&["start", "h1"]).ok();
}

#[test]
fn an_instance_whose_pool_does_not_answer_is_not_started_and_holds_up_nobody() {
    let daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    daemon.sc(&["init", BUSYBOX, "s1", "-s", "slow"]).ok();
    let silent = Silent::over(&disk.0.join("pool"));
    let start = daemon.begin(&["start", "s1"]);
    others_are_unharmed(&daemon);
    let list = daemon.begin(&["storage", "list", "-f", "csv"]);
    start.ended_within(Duration::from_secs(60)).refused("pool slow does not answer within 30 s");
    let list = list.ended_within(Duration::from_secs(60));
    assert!(
        list.ok().lines().any(|line| line.starts_with("slow,") && line.ends_with("UNAVAILABLE"))
    );
    daemon
        .begin(&["profile", "set", "default", "user.a=1"])
        .ended_within(Duration::from_secs(30))
        .ok();
    drop(silent);
    daemon.sc(&["start", "s1"]).ok();
    daemon.sc(&["delete", "--force", "s1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_pool_that_hangs_keeps_neither_the_daemon_from_starting_nor_an_image_from_going() {
    let mut daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    daemon.sc(&["init", BUSYBOX, "s1", "-s", "slow", "-c", "boot.autostart=true"]).ok();
    daemon.sc(&["init", BUSYBOX, "s2", "-s", "slow"]).ok();
    daemon.sc(&["delete", "s2"]).ok();
    std::fs::create_dir(disk.0.join("pool/volumes/.tmp-left")).unwrap();
    until("its trash is empty", Duration::from_secs(20), &0, || {
        std::fs::read_dir(disk.0.join("pool/trash")).unwrap().count()
    });
    disk.freeze();
    daemon.kill9();
    daemon.run_again();
    others_are_unharmed(&daemon);
    daemon.sc(&["launch", BUSYBOX, "s2", "-s", "slow"]).refused("it does not answer");
    daemon.sc(&["start", "s1"]).refused("it does not answer");
    daemon.sc(&["storage", "delete", "slow"]).refused("does not answer");
    disk.thaw();
    until(
        "what is to run there is started",
        Duration::from_secs(30),
        &"Running".to_owned(),
        || status(&daemon, "s1"),
    );
    daemon.sc(&["delete", "--force", "s1"]).ok();
    disk.freeze();
    let delete = daemon.begin(&["image", "delete", BUSYBOX]);
    delete.ended_within(Duration::from_secs(60)).ok();
    others_are_unharmed(&daemon);
    disk.thaw();
    daemon.restart();
    until("its layer goes there, too", Duration::from_secs(30), &0, || {
        std::fs::read_dir(disk.0.join("pool/layers")).unwrap().count()
    });
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

fn import(daemon: &Daemon) -> Ran {
    let busybox = Busybox::new();
    let tarball = busybox.unified();
    daemon.sc(&["image", "import", &tarball.to_string_lossy(), "--alias", BUSYBOX])
}

#[test]
fn an_image_that_a_pool_does_not_take_is_refused_and_leaves_nothing() {
    let daemon = Daemon::start();
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    daemon.sc(&["profile", "device", "set", "default", "root", "pool", "slow"]).ok();
    disk.freeze();
    import(&daemon).refused("pool slow does not answer within 30 s");
    assert_eq!(daemon.sc(&["image", "list", "-f", "csv"]).ok(), "");
    // By now it is known, and nobody waits for it again.
    let begun = std::time::Instant::now();
    import(&daemon).refused("pool slow does not answer");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    disk.thaw();
    let layers = disk.0.join("pool/layers");
    until("no layer is left behind", Duration::from_secs(30), &0, || {
        std::fs::read_dir(&layers).unwrap().count()
    });
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "s1"]).ok();
    daemon.sc(&["delete", "--force", "s1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["profile", "device", "set", "default", "root", "pool", "default"]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_restart_that_a_daemon_did_not_live_to_finish_is_finished_when_its_pool_answers() {
    let mut daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    daemon.sc(&["launch", BUSYBOX, "s1", "-s", "slow"]).ok();
    daemon.killed_when_asked(&["restart", "--force", "s1"], "kill@restart:stopped");
    disk.freeze();
    daemon.run_again();
    others_are_unharmed(&daemon);
    assert_eq!(status(&daemon, "s1"), "Stopped");
    disk.thaw();
    until("it runs again", Duration::from_secs(60), &"Running".to_owned(), || {
        status(&daemon, "s1")
    });
    daemon.sc(&["delete", "--force", "s1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_stop_ends_a_restart_that_waits_for_its_pool() {
    let mut daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    daemon.sc(&["init", BUSYBOX, "s1", "-s", "slow"]).ok();
    // Before the guest was stopped, and when it was.
    for (step, found) in [("intent", "Running"), ("stopped", "Stopped")] {
        daemon.sc(&["start", "s1"]).ok();
        let fault = format!("kill@restart:{step}");
        daemon.killed_when_asked(&["restart", "--force", "s1"], &fault);
        disk.freeze();
        daemon.run_again();
        assert_eq!(status(&daemon, "s1"), found);
        daemon.sc(&["stop", "--force", "s1"]).ok();
        disk.thaw();
        daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(status(&daemon, "s1"), "Stopped");
        daemon.restart();
        daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
        assert_eq!(status(&daemon, "s1"), "Stopped");
    }
    daemon.sc(&["delete", "s1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_guest_that_could_not_be_started_again_is_not_stopped_for_a_restart() {
    let mut daemon = with_guests(&[]);
    let disk = Disk::with_pool(&daemon, "slow", "overlay", 64);
    daemon.sc(&["launch", BUSYBOX, "s1", "-s", "slow", "--ephemeral"]).ok();
    let guest = pid(&daemon, "s1");
    daemon.end();
    disk.freeze();
    daemon.run_again();
    daemon.sc(&["restart", "--force", "s1"]).refused("pool slow cannot be used");
    assert_eq!(pid(&daemon, "s1"), guest);
    disk.thaw();
    daemon.sc(&["delete", "--force", "s1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "slow"]).ok();
}

#[test]
fn a_daemon_that_stands_still_is_waited_for_and_answers_when_it_goes_on() {
    let daemon = Daemon::start();
    let process = Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let list = daemon.begin(&["storage", "list", "-f", "csv"]);
    std::thread::sleep(Duration::from_millis(5500));
    kill_process(process, Signal::CONT).unwrap();
    let list = list.ended_within(Duration::from_secs(10));
    assert!(list.ok().starts_with("default,"), "{list:?}");
    assert_eq!(list.stderr.matches("has not answered yet").count(), 1, "{list:?}");
    assert_eq!(daemon.sc(&["storage", "list"]).stderr, "");
}
