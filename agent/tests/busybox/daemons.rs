//! Daemons that come, go, and say what they should not.

use std::os::fd::OwnedFd;

use sc_agent_protocol::{Event, ExecRequest, Phase, Reply, Request, ToDaemon};

use crate::harness::{Agent, Fixture, SIZE, eventually, is_alive, nulls, request};
use crate::need_root;

#[test]
fn the_agent_outlives_its_daemon_and_serves_the_next_one() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    let pid = agent.boot();
    let line = "setsid sh -c 'sleep 0.3; reboot -f' & exit 0";
    let (exec, _) = without_terminal(&mut agent, line);
    agent.exited(exec);
    agent.hang_up();
    sc_sys::process::send_signal(sc_sys::process::open_pidfd(agent.pid()).unwrap(), 15).unwrap();
    eventually("the guest has rebooted meanwhile", || {
        fixture.read("exits").contains("\"reboots\":1")
    });
    assert!(!is_alive(pid));
    agent.reconnect();
    assert!(matches!(agent.phase, Some(Phase::Running { reboots: 1, .. })), "{:?}", agent.phase);
    assert_eq!(agent.run(&["echo", "here"]).1, "here\n");
}

/// Starts a program in a terminal; returns its pid on the host and the terminal's master.
fn in_terminal(agent: &mut Agent, line: &str) -> (u32, OwnedFd) {
    let request = ExecRequest { terminal: Some(SIZE), ..request(&["sh", "-c", line]) };
    let (reply, mut fds) = agent.ask(Request::Exec(request), &[]);
    let Reply::ExecStarted { pid, .. } = reply else { panic!("{reply:?}") };
    (pid, fds.remove(0))
}

fn without_terminal(agent: &mut Agent, line: &str) -> (u64, u32) {
    let (reply, _) = agent.ask(Request::Exec(request(&["sh", "-c", line])), &nulls());
    let Reply::ExecStarted { exec, pid } = reply else { panic!("{reply:?}") };
    (exec, pid)
}

fn sleeps(agent: &mut Agent) -> String {
    agent.run(&["sh", "-c", "ps -o args | grep '^sleep' | sort"]).1
}

#[test]
fn programs_end_with_the_daemon_that_asked_for_them() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let (_, plain) = without_terminal(&mut agent, "sleep 1001; echo never");
    let (_, stubborn) = without_terminal(&mut agent, "trap '' HUP; sleep 1002; echo never");
    let (shell, master) = in_terminal(&mut agent, "sleep 1003; echo never");
    let (stubborn_shell, other) = in_terminal(&mut agent, "trap '' HUP; sleep 1004; echo never");
    // It is none of theirs: it has left their session and their streams.
    without_terminal(&mut agent, "setsid sleep 1005 & exit 0");
    eventually("all of them run", || sleeps(&mut agent).lines().count() == 5);
    agent.hang_up();
    eventually("it is told", || {
        fixture.read("agent.log").contains("hung up, their daemon having gone: 4")
    });
    drop((master, other));
    for pid in [plain, shell, stubborn, stubborn_shell] {
        eventually("it has ended", || !is_alive(pid));
    }
    agent.reconnect();
    eventually("only what went off is left", || sleeps(&mut agent) == "sleep 1005\n");
}

#[test]
fn one_program_is_hung_up_and_the_others_go_on() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let (first, _) = without_terminal(&mut agent, "exec sleep 1001");
    let (_, second) = without_terminal(&mut agent, "exec sleep 1002");
    assert_eq!(agent.ask(Request::HangUp { exec: first }, &[]).0, Reply::Done);
    assert_eq!(agent.exited(first), 128 + 1);
    let reply = agent.ask(Request::HangUp { exec: first }, &[]).0;
    assert!(matches!(reply, Reply::ExecFailed { errno: 3, .. }), "{reply:?}");
    assert!(is_alive(second));
}

#[test]
fn an_agent_whose_daemon_leaves_before_the_first_boot_ends() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    agent.wait_for(|event| matches!(event, Event::NamespacesReady));
    agent.hang_up();
    assert!(agent.wait().success());
}

#[test]
fn an_unknown_request_is_answered_as_such() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let answer = agent.send_raw(br#"{"id":99,"request":{"from_the_future":{"x":1}}}"#);
    assert_eq!(answer, ToDaemon::Reply(99, Reply::Unsupported));
    assert_eq!(agent.ask(Request::Boot, &[]).0, Reply::WrongPhase(agent.phase_now()));
}
