//! The daemon is killed, or fails, at every step of what it does: nothing is lost, nothing is left.

use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, HostSnapshot, Ran, status, until};

/// More steps than any operation has.
const MOST: u32 = 40;

/// A daemon with the busybox image whose layer is made, and what it has on the host.
fn warmed() -> (Daemon, HostSnapshot) {
    let daemon = Daemon::start();
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "first"]).ok();
    daemon.sc(&["delete", "--force", "first"]).ok();
    until("the trash is empty", Duration::from_secs(30), &0, || {
        let trash = daemon.dir().join("storage-pools/default/trash");
        std::fs::read_dir(trash).map_or(0, Iterator::count)
    });
    let before = HostSnapshot::of(&daemon.dir());
    (daemon, before)
}

/// What is there can be started, used and deleted, and leaves nothing.
fn is_whole(daemon: &Daemon, fault: &str, before: &HostSnapshot) {
    daemon.sc(&["admin", "waitready", "--timeout", "30"]).ok();
    match status(daemon, "c1").as_str() {
        "-" => daemon.sc(&["launch", BUSYBOX, "c1"]).ok().to_owned(),
        "Stopped" => daemon.sc(&["start", "c1"]).ok().to_owned(),
        other => {
            assert_eq!(other, "Running", "{fault}");
            String::new()
        }
    };
    assert_eq!(daemon.inside("c1", "echo alive"), "alive", "{fault}");
    daemon.sc(&["delete", "--force", "c1"]).ok();
    until(&format!("{fault} leaves nothing"), Duration::from_secs(30), &Vec::new(), || {
        HostSnapshot::of(&daemon.dir()).more_than(before)
    });
}

/// Kills at step 1, 2, … of an operation that `act` sets going on a running instance, until it ends
/// unharmed; returns how many kills that were.
fn killed_at_every_step(operation: &str, act: impl Fn(&Daemon) -> Ran) -> u32 {
    let (mut daemon, before) = warmed();
    for step in 1..MOST {
        let fault = format!("kill@{operation}:{step}");
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        daemon.end();
        daemon.run_into(&fault);
        let acted = act(&daemon);
        // The answer may come before the step.
        let unharmed = !daemon.dies_within(Duration::from_millis(500));
        if unharmed {
            acted.ok();
        } else {
            daemon.run_again();
        }
        is_whole(&daemon, &fault, &before);
        if unharmed {
            return step - 1;
        }
    }
    panic!("{operation} has too many steps");
}

#[test]
fn a_kill_at_every_step_of_a_stop_leaves_nothing() {
    let kills = killed_at_every_step("clear-up", |daemon| daemon.sc(&["stop", "--force", "c1"]));
    assert!(kills >= 5, "{kills}");
}

#[test]
fn a_kill_at_every_step_of_a_restart_leaves_it_finished() {
    let kills = killed_at_every_step("restart", |daemon| {
        let ran = daemon.sc(&["restart", "--force", "c1"]);
        if ran.code == 0 {
            assert_eq!(status(daemon, "c1"), "Running");
        }
        ran
    });
    assert!(kills >= 3, "{kills}");
}

#[test]
fn a_restart_that_was_killed_is_finished_by_the_daemon_after_the_next_as_well() {
    let (mut daemon, before) = warmed();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    daemon.end();
    daemon.run_into("kill@restart:stopped");
    assert_ne!(daemon.sc(&["restart", "--force", "c1"]).code, 0);
    daemon.wait_died();
    assert!(!daemon.outlives("kill@start:agent"));
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "30"]).ok();
    assert_eq!(status(&daemon, "c1"), "Running");
    is_whole(&daemon, "a restart killed twice", &before);
}

/// Crashes of every kind, each of which the next daemon has to recover from.
const CRASHES: [&str; 6] = [
    "kill@create:volume",
    "kill@start:agent",
    "kill@start:boot",
    "kill@clear-up:processes",
    "kill@clear-up:ids",
    "kill@delete:removed",
];

/// Brings the daemon to crash in the midst of a launch and a deletion.
fn crash(daemon: &mut Daemon, fault: &str) {
    daemon.end();
    daemon.run_into(fault);
    if daemon.sc(&["launch", BUSYBOX, "c1"]).code == 0 {
        let _ = daemon.sc(&["delete", "--force", "c1"]);
    }
    daemon.wait_died();
}

#[test]
fn a_kill_at_every_step_of_a_recovery_leaves_nothing() {
    let (mut daemon, before) = warmed();
    let mut kills = 0;
    for first in CRASHES {
        for again in ["recover", "clear-up"] {
            for step in 1..MOST {
                crash(&mut daemon, first);
                let fault = format!("kill@{again}:{step}");
                let recovered = daemon.outlives(&fault);
                if recovered {
                    daemon.restart();
                } else {
                    kills += 1;
                    daemon.run_again();
                }
                is_whole(&daemon, &format!("{first}, then {fault}"), &before);
                if recovered {
                    break;
                }
            }
        }
    }
    assert!(kills >= 12, "{kills} kills");
}

#[test]
fn what_could_not_be_cleared_up_is_told_and_tried_again() {
    let (mut daemon, before) = warmed();
    for step in ["begun", "processes", "files", "links", "ids"] {
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        daemon.end();
        daemon.run_into(&format!("fail@clear-up:{step}"));
        daemon.sc(&["stop", "--force", "c1"]).ok();
        daemon.sc(&["start", "c1"]).refused("clear up what the last run has left");
        daemon.sc(&["delete", "c1"]).refused("clear up what the last run has left");
        daemon.restart();
        is_whole(&daemon, step, &before);
    }
}

#[test]
fn a_deletion_that_fails_late_is_finished_by_the_next_try_or_daemon() {
    let (mut daemon, before) = warmed();
    daemon.end();
    daemon.run_into("fail@delete:removed");
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    daemon.sc(&["delete", "c1"]).refused("injected failure");
    daemon.sc(&["start", "c1"]).refused("delete it again");
    daemon.sc(&["delete", "c1"]).refused("injected failure");
    daemon.restart();
    assert_eq!(status(&daemon, "c1"), "-");
    is_whole(&daemon, "a deletion that failed", &before);

    daemon.end();
    daemon.run_into("fail@delete:intent");
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    daemon.sc(&["delete", "c1"]).refused("injected failure");
    daemon.sc(&["start", "c1"]).ok();
    daemon.restart();
    is_whole(&daemon, "a deletion that failed at once", &before);
}
