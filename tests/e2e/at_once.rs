//! Requests for one instance that come at the same time, and agents that do not answer.

use std::time::{Duration, Instant};

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Begun, Daemon, pid, status, until};

/// Begins an orderly restart and waits until the guest is being stopped; busybox takes its time.
fn restarting(daemon: &Daemon) -> Begun {
    let child = daemon.begin(&["restart", "c1"]);
    std::thread::sleep(Duration::from_millis(500));
    child
}

#[test]
fn a_running_ephemeral_instance_is_deleted_by_force() {
    let daemon = Busybox::running();
    for _ in 0..3 {
        daemon.sc(&["launch", BUSYBOX, "e1", "-e"]).ok();
        daemon.sc(&["delete", "--force", "e1"]).ok();
        assert_eq!(status(&daemon, "e1"), "-");
    }
}

#[test]
fn a_forced_restart_takes_over_one_that_is_under_way_and_both_are_done() {
    let mut daemon = Busybox::running();
    let first = restarting(&daemon);
    daemon.sc(&["restart", "--force", "c1"]).ok();
    first.ended().ok();
    let before = pid(&daemon, "c1");
    daemon.kill9();
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "30"]).ok();
    assert_eq!(pid(&daemon, "c1"), before, "nothing of a restart is left to finish");
}

#[test]
fn a_forced_stop_ends_a_restart_and_the_instance_stays_stopped() {
    let daemon = Busybox::running();
    let restart = restarting(&daemon);
    daemon.sc(&["stop", "--force", "c1"]).ok();
    restart.ended().refused("stopped by force");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(status(&daemon, "c1"), "Stopped");
}

#[test]
fn a_name_that_many_create_and_delete_is_in_the_list_or_free() {
    let daemon = Busybox::running();
    let until_when = Instant::now() + Duration::from_secs(5);
    std::thread::scope(|scope| {
        for act in [["init", BUSYBOX, "r1"], ["init", BUSYBOX, "r1"], ["delete", "r1", "--force"]] {
            let daemon = &daemon;
            scope.spawn(move || {
                while Instant::now() < until_when {
                    let _ = daemon.begin(&act).ended();
                }
            });
        }
    });
    if status(&daemon, "r1") == "-" {
        daemon.sc(&["init", BUSYBOX, "r1"]).ok();
    }
    daemon.sc(&["delete", "r1"]).ok();
    daemon.sc(&["init", BUSYBOX, "r1"]).ok();
}

/// The agent of an instance, as the parent of its guest's PID 1 knows it.
fn agent_of(daemon: &Daemon, name: &str) -> rustix::process::Pid {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid(daemon, name))).unwrap();
    let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().to_owned();
    rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap()
}

#[test]
fn an_agent_that_does_not_answer_holds_up_nobody_for_long() {
    use rustix::process::{Signal, kill_process};
    let mut daemon = Busybox::running();
    daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
    let (agent, guest) = (agent_of(&daemon, "c1"), pid(&daemon, "c1"));
    kill_process(agent, Signal::STOP).unwrap();

    let program = daemon.sc(&["exec", "c1", "--", "true"]);
    program.refused("does not answer");
    daemon.kill9();
    daemon.run_again();
    assert_eq!(daemon.inside("c2", "echo alive"), "alive", "the others are there");
    assert_eq!(status(&daemon, "c1"), "Error", "it is listed, and what is known of it");
    daemon.sc(&["exec", "c1", "--", "true"]).refused("its agent does not answer");
    daemon.sc(&["stop", "c1"]).refused("sc stop --force c1");

    kill_process(agent, Signal::CONT).unwrap();
    until("taken up again", Duration::from_secs(30), &"Running".to_owned(), || {
        status(&daemon, "c1")
    });
    assert_eq!(pid(&daemon, "c1"), guest, "its guest has lived on");

    kill_process(agent, Signal::STOP).unwrap();
    daemon.sc(&["stop", "--force", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped", "force needs no agent");
    daemon.begin(&["start", "c1"]).ended_within(Duration::from_secs(20)).ok();
}

#[test]
fn a_guest_whose_agent_is_silent_when_the_daemon_comes_back_can_be_killed_and_started() {
    use rustix::process::{Signal, kill_process};
    let mut daemon = Busybox::running();
    let (agent, guest) = (agent_of(&daemon, "c1"), pid(&daemon, "c1"));
    kill_process(agent, Signal::STOP).unwrap();
    daemon.kill9();
    daemon.run_again();
    daemon.sc(&["stop", "--force", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
    for process in [agent.as_raw_nonzero().get() as u64, guest] {
        // Who has ended and was not waited for yet has no command line any more.
        let command = std::fs::read_to_string(format!("/proc/{process}/cmdline"));
        assert_eq!(command.unwrap_or_default(), "", "{process} is left");
    }
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
}

#[test]
fn a_guest_whose_agent_is_silent_holds_up_no_shutdown() {
    use rustix::process::{Signal, kill_process};
    let mut daemon = Busybox::running();
    daemon.sc(&["config", "set", "c1", "boot.host_shutdown_timeout=1000"]).ok();
    kill_process(agent_of(&daemon, "c1"), Signal::STOP).unwrap();
    daemon.kill9();
    daemon.run_again();
    assert_eq!(status(&daemon, "c1"), "Error");
    daemon.begin(&["admin", "shutdown"]).ended_within(Duration::from_secs(60)).ok();
    daemon.wait_died();
    daemon.run_again();
}

#[test]
fn a_forced_stop_does_not_wait_behind_one_that_an_agent_does_not_answer() {
    use rustix::process::{Signal, kill_process};
    let daemon = Busybox::running();
    kill_process(agent_of(&daemon, "c1"), Signal::STOP).unwrap();
    let orderly = daemon.begin(&["stop", "c1", "--timeout", "60"]);
    std::thread::sleep(Duration::from_millis(500));
    daemon.begin(&["stop", "--force", "c1"]).ended_within(Duration::from_secs(10)).ok();
    orderly.ended_within(Duration::from_secs(10)).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
}

#[test]
fn a_program_that_starts_when_nobody_waits_for_it_any_more_ends() {
    use rustix::process::{Signal, kill_process};
    let daemon = Busybox::running();
    let agent = agent_of(&daemon, "c1");
    kill_process(agent, Signal::STOP).unwrap();
    daemon.sc(&["exec", "c1", "--", "sleep", "1777"]).refused("does not answer");
    kill_process(agent, Signal::CONT).unwrap();
    // Asked behind it, and answered when it has begun.
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
    std::thread::sleep(Duration::from_secs(1));
    until("it ends", Duration::from_secs(20), &false, || {
        daemon.inside("c1", "ps -o args").contains("sleep 1777")
    });
}

#[test]
fn nothing_is_started_while_the_daemon_stops_all_guests() {
    let mut daemon = Busybox::running();
    daemon.sc(&["init", BUSYBOX, "c2"]).ok();
    let shutdown = daemon.begin(&["admin", "shutdown"]);
    std::thread::sleep(Duration::from_millis(300));
    daemon.sc(&["start", "c2"]).refused("stopping all guests");
    daemon.sc(&["launch", BUSYBOX, "c3"]).refused("stopping all guests");
    shutdown.ended().ok();
    daemon.wait_died();
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "20"]).ok();
    let states = ["c1", "c2", "c3"].map(|name| status(&daemon, name));
    assert_eq!(states, ["Running", "Stopped", "-"]);
}

#[test]
fn a_stop_may_be_waited_for_as_long_as_one_likes() {
    let daemon = Busybox::running();
    daemon.sc(&["stop", "c1", "--timeout", "9223372036854775807"]).ok();
    daemon.sc(&["start", "c1"]).ok();
    daemon.sc(&["restart", "c1", "--timeout", "9223372036854775807"]).ok();
    assert_eq!(status(&daemon, "c1"), "Running");
}

#[test]
fn an_instance_that_others_start_meanwhile_is_deleted_by_force() {
    let daemon = Busybox::running();
    for _ in 0..6 {
        let caller = daemon.caller();
        let is_there = move || !caller.sc(&["start", "c1"]).stderr.contains("not found");
        let starter = std::thread::spawn(move || {
            while is_there() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        daemon.sc(&["stop", "--force", "c1"]).ok();
        daemon.sc(&["delete", "--force", "c1"]).ok();
        starter.join().unwrap();
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    }
}
