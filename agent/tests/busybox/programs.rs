//! Programs run inside.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use sc_agent_protocol::{ExecRequest, Reply, Request};
use sc_sys::memfd;

use crate::harness::{Agent, Fixture, SIZE, eventually, nulls, read_all, request};
use crate::need_root;

#[test]
fn programs_have_their_streams_exit_codes_and_surroundings() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let (status, out, err) = agent.run(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((status, out.as_str(), err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(agent.run(&["sh", "-c", "kill -9 $$"]).0, 137);

    let (_, environment, _) = agent.run(&["env"]);
    for line in ["HOME=/root", "USER=root", "LANG=C.UTF-8", "container=lxc"] {
        assert!(environment.lines().any(|found| found == line), "{line} in {environment}");
    }
    let as_web = ExecRequest {
        user: 33,
        group: 33,
        environment: vec![("A".into(), "b c".into())],
        ..request(&["sh", "-c", "id -u; id -G; pwd; echo $HOME $USER $A; touch x && stat -c %u x"])
    };
    assert_eq!(agent.run_as(&as_web).1, "33\n33\n/srv\n/srv web b c\n33\n");
    let elsewhere = ExecRequest { cwd: Some("/etc".into()), ..request(&["pwd"]) };
    assert_eq!(agent.run_as(&elsewhere).1, "/etc\n");

    let null =
        || -> Vec<OwnedFd> { (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect() };
    let failed =
        |agent: &mut Agent, request: &ExecRequest| agent.start_exec(request, &null()).unwrap_err();
    assert_eq!(failed(&mut agent, &request(&["no-such-program"])), ("execve".into(), 2));
    assert_eq!(failed(&mut agent, &request(&["/etc/passwd"])), ("execve".into(), 13));
    let nowhere = ExecRequest { cwd: Some("/none".into()), ..request(&["pwd"]) };
    assert_eq!(failed(&mut agent, &nowhere).1, 2);
    let far = ExecRequest { cwd: Some(format!("/{}", "\u{1}".repeat(20_000))), ..nowhere };
    let (step, errno) = failed(&mut agent, &far);
    assert!(step.starts_with("enter directory") && errno == 36, "{errno} {step}");
    let stranger = ExecRequest { user: 70_000, ..request(&["pwd"]) };
    assert_eq!(failed(&mut agent, &stranger).1, 22);
    let (_, script, _) =
        agent.run(&["sh", "-c", "echo 'echo by-shell $1' > /tmp/s; chmod 755 /tmp/s"]);
    assert_eq!(script, "");
    assert_eq!(agent.run(&["/tmp/s", "arg"]).1, "by-shell arg\n");
}

#[test]
fn a_program_in_a_terminal_has_it_as_its_own() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let command =
        "tty; stty size; test -c /dev/tty && echo ctty > /dev/tty; id -u; echo $TERM; exit 3";
    let request = ExecRequest {
        terminal: Some(SIZE),
        user: 33,
        group: 33,
        ..request(&["sh", "-c", command])
    };
    let (reply, mut fds) = agent.ask(Request::Exec(request), &[]);
    let Reply::ExecStarted { exec, .. } = reply else { panic!("{reply:?}") };
    let output = read_all(File::from(fds.remove(0)));
    assert_eq!(output, "/dev/pts/1\r\n33 111\r\nctty\r\n33\r\nxterm\r\n");
    assert_eq!(agent.exited(exec), 3);
}

#[test]
fn a_signal_reaches_a_program_and_in_a_terminal_its_whole_group() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null = nulls();
    let exec = agent.start_exec(&request(&["sleep", "1000"]), &null).unwrap();
    assert_eq!(agent.ask(Request::Signal { exec, signal: 15 }, &[]).0, Reply::Done);
    assert_eq!(agent.exited(exec), 128 + 15);
    assert!(matches!(
        agent.ask(Request::Signal { exec, signal: 15 }, &[]).0,
        Reply::ExecFailed { errno: 3, .. }
    ));

    let command = "sleep 1000 & echo started; wait";
    let request = ExecRequest { terminal: Some(SIZE), ..request(&["sh", "-c", command]) };
    let (reply, mut fds) = agent.ask(Request::Exec(request), &[]);
    let Reply::ExecStarted { exec, .. } = reply else { panic!("{reply:?}") };
    let mut master = File::from(fds.remove(0));
    let mut buffer = [0; 64];
    let length = master.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"started\r\n");
    assert_eq!(agent.ask(Request::Signal { exec, signal: 9 }, &[]).0, Reply::Done);
    assert_eq!(agent.exited(exec), 137);
    eventually("its child has ended as well", || {
        agent.run(&["sh", "-c", "pidof sleep || echo none"]).1 == "none\n"
    });
}

#[test]
fn a_thousand_programs_leave_nothing_behind() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let descriptors =
        |agent: &Agent| std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let before = descriptors(&agent);
    let null = nulls();
    let start = Instant::now();
    for _ in 0..1000 {
        let exec = agent.start_exec(&request(&["true"]), &null).unwrap();
        assert_eq!(agent.exited(exec), 0);
    }
    eprintln!("1,000 programs: {:?}", start.elapsed());
    assert!(descriptors(&agent) <= before);
    // The last one's goes behind the word of its end.
    let end = Instant::now() + Duration::from_secs(5);
    while !fixture.cgroups.leaves().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fixture.cgroups.leaves(), Vec::<String>::new());
    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    let children = std::fs::read_to_string(children).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "PID 1 alone");
}

#[test]
fn the_cgroup_of_a_program_that_leaves_a_child_goes_when_the_child_has_ended() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    agent.run(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 0"]);
    assert_eq!(agent.run(&["true"]).0, 0);
    agent.run(&["killall", "sleep"]);
    eventually("the leaf is gone", || {
        agent.run(&["true"]);
        fixture.cgroups.leaves().is_empty()
    });
}

#[test]
fn the_guest_cannot_look_into_a_program_that_is_being_started() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    // A process of the guest that tries to read every other's descriptors, all the time.
    let null = nulls();
    let spy = "while :; do ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E 'cgroup|socket:' >> /tmp/seen; done";
    agent.start_exec(&request(&["sh", "-c", spy]), &null).unwrap();
    for _ in 0..200 {
        let exec = agent.start_exec(&request(&["true"]), &null).unwrap();
        agent.exited(exec);
    }
    assert_eq!(agent.run(&["cat", "/tmp/seen"]).1, "");
}

#[test]
fn a_command_and_an_environment_come_in_a_file() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let mut run = |command: Vec<String>, count: usize| {
        let environment = (0..count).map(|n| (format!("V{n}"), "x".into())).collect();
        let mut request = ExecRequest { environment, ..request(&[]) };
        request.command = command;
        let words = serde_json::to_vec(&request.take_words()).unwrap();
        let (output, end) = std::io::pipe().unwrap();
        let mut fds = nulls();
        fds[1] = end.into();
        fds.push(memfd::sealed("words", &words, memfd::Content::Data).unwrap());
        let reply = agent.ask(Request::ExecFile(request), &fds).0;
        drop(fds);
        let output = read_all(output);
        if let Reply::ExecStarted { exec, .. } = reply {
            assert_eq!(agent.exited(exec), 0);
        }
        (reply, output)
    };
    let words = |first: &[&str], word: &str, count| {
        let first = first.iter().map(ToString::to_string);
        first.chain(std::iter::repeat_n(word.to_owned(), count)).collect::<Vec<_>>()
    };
    let counting = words(&["sh", "-c", "echo $#; env | grep -c ^V", "sh"], "0123456789", 60_000);
    assert_eq!(run(counting, 5_000).1, "60000\n5000\n");
    for too_long in [words(&["true"], &"x".repeat(128 << 10), 1), words(&["true"], "x", 300_000)] {
        let reply = run(too_long, 0).0;
        assert_eq!(reply, Reply::ExecFailed { step: "execve".into(), errno: 7 });
    }
}
