//! Guests whose files never answer.

use std::time::{Duration, Instant};

use sc_agent_protocol::{Reply, Request};

use crate::harness::{Agent, Fixture, eventually, nulls, read_all, request};
use crate::need_root;

/// As many starts as may hang in a guest's files.
const MOST_HANGING: usize = 16;

/// Mounts FUSE on `/etc` and answers its greeting (to the kernel's first request, number 2: protocol 7.31, look-ups
/// in parallel), and nothing else.
const SILENT_FUSE: &str = r"
exec 3<>/dev/fuse
mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 silent /etc || exit 1
dd bs=1M count=1 of=/dev/null <&3 2>/dev/null
{ printf '\120\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\7\0\0\0\37\0\0\0\0\0\0\0\0\0\4\0'; head -c 48 /dev/zero; } > /tmp/greeting
dd bs=80 count=1 of=/tmp/sent < /tmp/greeting 2>/dev/null
dd bs=80 count=1 < /tmp/greeting >&3 2>/dev/null || exit 2
echo silent
";
/// Reads all requests: who waits for an answer cannot be killed then.
const READ_ALL: &str = "exec dd bs=1M of=/dev/null <&3 >/dev/null 2>&1";
/// Reads none, so that who waits can be killed, and has no part in its daemon's end.
const READ_NONE: &str = "setsid sleep 1000 >/dev/null 2>&1 &";

/// Starts it; returns its number.
fn mount_silent_fuse(agent: &mut Agent, then: &str) -> u64 {
    let (mut out, end) = std::io::pipe().unwrap();
    let mut streams = nulls();
    streams[1] = end.into();
    let script = format!("{SILENT_FUSE}{then}");
    let exec = agent.start_exec(&request(&["sh", "-c", &script]), &streams).unwrap();
    drop(streams);
    assert_eq!(read_all(&mut out), "silent\n");
    exec
}

#[test]
fn a_program_that_hangs_in_the_guests_files_is_given_up_and_so_many_at_most() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let server = mount_silent_fuse(&mut agent, READ_ALL);
    let echo = || Request::Exec(request(&["echo", "hi"]));
    let asked = Instant::now();
    let all: Vec<u64> = (0..MOST_HANGING).map(|_| agent.send(echo(), &nulls())).collect();
    for id in all {
        let (reply, _) = agent.reply(id);
        let Reply::ExecFailed { step, errno: 62 } = &reply else { panic!("{reply:?}") };
        assert_eq!(step, "read the guest's files within 5 s");
    }
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    let (reply, _) = agent.ask(echo(), &nulls());
    assert!(matches!(reply, Reply::ExecFailed { errno: 11, .. }), "{reply:?}");

    let reply = agent.ask(Request::Signal { exec: server, signal: 9 }, &[]).0;
    assert_eq!(reply, Reply::Done);
    assert_eq!(agent.exited(server), 137);
    eventually("the others were killed as well", || fixture.cgroups.leaves().is_empty());
    assert_eq!(agent.run(&["echo", "hi"]).1, "hi\n");
}

#[test]
fn a_daemon_that_leaves_takes_along_what_has_not_started() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let server = mount_silent_fuse(&mut agent, READ_NONE);
    assert_eq!(agent.exited(server), 0);
    agent.send(Request::Exec(request(&["echo", "hi"])), &nulls());
    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    let count = || std::fs::read_to_string(&children).unwrap().split_whitespace().count();
    eventually("it is being started", || count() == 2);
    agent.hang_up();
    let left = Instant::now();
    eventually("PID 1 alone is left", || count() == 1);
    // It is not given the time of a program that could save something.
    assert!(left.elapsed() < Duration::from_secs(3), "{:?}", left.elapsed());
}
