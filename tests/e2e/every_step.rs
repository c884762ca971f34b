//! The daemon is killed, or fails, at every step of what it does: nothing is lost, nothing is left.

use sc_tests::guests::BUSYBOX;
use sc_tests::{
    Daemon, HostSnapshot, MOST_STEPS, Ran, VICTIM, is_whole, killed_at_every_step, left_nothing,
    status, warmed,
};

fn nothing(_: &Daemon) {}

fn launched(daemon: &Daemon) {
    daemon.sc(&["launch", BUSYBOX, VICTIM]).ok();
}

/// Launches and deletes; returns what failed, or else the deletion.
fn launch_and_delete(daemon: &Daemon) -> Ran {
    let launched = daemon.sc(&["launch", BUSYBOX, VICTIM]);
    if launched.code == 0 { daemon.sc(&["delete", "--force", VICTIM]) } else { launched }
}

#[test]
fn a_kill_at_every_step_of_a_creation_leaves_nothing() {
    assert_eq!(killed_at_every_step("create", nothing, launch_and_delete), 2);
}

#[test]
fn a_kill_at_every_step_of_a_start_leaves_nothing() {
    assert_eq!(killed_at_every_step("start", nothing, launch_and_delete), 7);
}

#[test]
fn a_kill_at_every_step_of_a_deletion_leaves_nothing() {
    assert_eq!(killed_at_every_step("delete", nothing, launch_and_delete), 2);
}

#[test]
fn a_kill_at_every_step_of_a_stop_leaves_nothing() {
    let kills = killed_at_every_step("clear-up", launched, |daemon| {
        // A forced stop is answered before its steps; a start waits for them.
        let stopped = daemon.sc(&["stop", "--force", VICTIM]);
        if stopped.code == 0 { daemon.sc(&["start", VICTIM]) } else { stopped }
    });
    assert_eq!(kills, 5);
}

#[test]
fn a_kill_at_every_step_of_a_restart_leaves_it_finished() {
    let kills = killed_at_every_step("restart", launched, |daemon| {
        let ran = daemon.sc(&["restart", "--force", VICTIM]);
        if ran.code == 0 {
            assert_eq!(status(daemon, VICTIM), "Running");
        }
        ran
    });
    assert_eq!(kills, 3);
}

#[test]
fn a_failure_at_every_step_of_a_launch_is_told_and_leaves_nothing() {
    for (operation, steps) in [("create", 2), ("start", 7)] {
        let (mut daemon, before) = warmed();
        let mut failures = 0;
        for step in 1..MOST_STEPS {
            let fault = format!("fail@{operation}:{step}");
            daemon.end();
            daemon.run_into(&fault);
            let launched = daemon.sc(&["launch", BUSYBOX, VICTIM]);
            if launched.code == 0 {
                daemon.sc(&["delete", "--force", VICTIM]).ok();
                break;
            }
            launched.refused("injected failure");
            failures += 1;
            assert_eq!(status(&daemon, VICTIM), "-", "{fault}: a launch that failed is undone");
            left_nothing(&daemon, &fault, &before);
        }
        assert_eq!(failures, steps, "{operation}");
    }
}

#[test]
fn a_restart_that_was_killed_is_finished_by_the_daemon_after_the_next_as_well() {
    let (mut daemon, before) = warmed();
    daemon.sc(&["launch", BUSYBOX, VICTIM]).ok();
    daemon.killed_when_asked(&["restart", "--force", VICTIM], "kill@restart:stopped");
    daemon.dies_of("kill@start:agent");
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "30"]).ok();
    assert_eq!(status(&daemon, VICTIM), "Running");
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
    if daemon.sc(&["launch", BUSYBOX, VICTIM]).code == 0 {
        let _ = daemon.sc(&["delete", "--force", VICTIM]);
    }
    daemon.wait_died();
}

#[test]
fn a_kill_at_every_step_of_a_recovery_leaves_nothing() {
    let (mut daemon, before) = warmed();
    let mut kills = 0;
    for first in CRASHES {
        for again in ["recover", "clear-up"] {
            for step in 1..MOST_STEPS {
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
        daemon.sc(&["launch", BUSYBOX, VICTIM]).ok();
        daemon.end();
        daemon.run_into(&format!("fail@clear-up:{step}"));
        daemon.sc(&["stop", "--force", VICTIM]).ok();
        daemon.sc(&["start", VICTIM]).refused("clear up what the last run has left");
        daemon.sc(&["delete", VICTIM]).refused("clear up what the last run has left");
        daemon.restart();
        is_whole(&daemon, step, &before);
    }
}

#[test]
fn a_deletion_that_fails_late_is_finished_by_the_next_try_or_daemon() {
    let (mut daemon, before) = warmed();
    daemon.end();
    daemon.run_into("fail@delete:removed");
    daemon.sc(&["init", BUSYBOX, VICTIM]).ok();
    daemon.sc(&["delete", VICTIM]).refused("injected failure");
    daemon.sc(&["start", VICTIM]).refused("delete it again");
    daemon.sc(&["delete", VICTIM]).refused("injected failure");
    daemon.restart();
    assert_eq!(status(&daemon, VICTIM), "-");
    is_whole(&daemon, "a deletion that failed", &before);

    daemon.end();
    daemon.run_into("fail@delete:intent");
    daemon.sc(&["init", BUSYBOX, VICTIM]).ok();
    daemon.sc(&["delete", VICTIM]).refused("injected failure");
    daemon.sc(&["start", VICTIM]).ok();
    daemon.restart();
    is_whole(&daemon, "a deletion that failed at once", &before);
}

/// The instance is there, refuses to be started, and is gone with the next daemon.
#[track_caller]
fn waits_for_the_next_daemon(daemon: &mut Daemon, what: &str, before: &HostSnapshot) {
    assert_eq!(status(daemon, VICTIM), "Stopped", "{what}");
    daemon.sc(&["start", VICTIM]).refused("delete it again");
    daemon.sc(&["delete", VICTIM]).refused("injected failure");
    daemon.restart();
    assert_eq!(status(daemon, VICTIM), "-", "{what}");
    left_nothing(daemon, what, before);
}

#[test]
fn a_launch_that_cannot_be_taken_back_at_once_is_not_started_but_goes_with_the_next_daemon() {
    let (mut daemon, before) = warmed();
    for (fault, told) in [
        ("fail@start:boot;fail@clear-up:begun", "could not be deleted again"),
        ("fail@start:boot;fail@clear-up:ids", "could not be deleted again"),
        ("fail@start:boot;fail@delete:removed", "could not be deleted again"),
        ("fail@create:volume;fail@delete:removed", "injected failure"),
    ] {
        daemon.end();
        daemon.run_into(fault);
        daemon.sc(&["launch", BUSYBOX, VICTIM]).refused(told);
        waits_for_the_next_daemon(&mut daemon, fault, &before);
    }
}

#[test]
fn what_a_recovery_cannot_take_back_keeps_its_ids_and_goes_with_the_next_daemon() {
    let (mut daemon, before) = warmed();
    for fault in ["fail@clear-up:begun", "fail@clear-up:processes", "fail@delete:removed"] {
        crash(&mut daemon, "kill@start:boot");
        daemon.run_into(fault);
        let ids = HostSnapshot::of(&daemon.dir()).of_kind("id range").len();
        assert_eq!(ids, usize::from(fault.contains("clear-up")), "{fault}");
        waits_for_the_next_daemon(&mut daemon, fault, &before);
    }
    crash(&mut daemon, "kill@delete:intent");
    daemon.run_into("fail@delete:removed");
    waits_for_the_next_daemon(&mut daemon, "a deletion that cannot be finished", &before);
}
