//! The console.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sc_agent_protocol::{Reply, Request};

use crate::harness::{Agent, Fixture, PATIENCE, SIZE, eventually};
use crate::need_root;

pub fn console(agent: &mut Agent, force: bool) -> Option<UnixStream> {
    match agent.ask(Request::Console { size: Some(SIZE), force }, &[]) {
        (Reply::Console, mut fds) => Some(UnixStream::from(fds.remove(0))),
        (Reply::ConsoleBusy, _) => None,
        other => panic!("{other:?}"),
    }
}

pub fn read_until(stream: &mut UnixStream, wanted: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the console ended after {:?}", String::from_utf8_lossy(&all));
        all.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn the_console_shows_a_shell_survives_hang_ups_and_has_one_client() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let mut first = console(&mut agent, false).unwrap();
    first.write_all(b"stty size; echo con''sole $((6*7))\n").unwrap();
    let text = read_until(&mut first, "console 42");
    assert!(text.contains("33 111"), "{text}");
    assert!(console(&mut agent, false).is_none());
    // Its shell ends, getty's successor hangs the terminal up and opens it again.
    first.write_all(b"exit\n").unwrap();
    agent.run(&[
        "sh",
        "-c",
        "exec setsid sh -c 'exec </dev/console >/dev/console; stty -echo; stty echo'",
    ]);
    let mut second = console(&mut agent, true).unwrap();
    first.read_to_end(&mut Vec::new()).expect("the first client's stream has ended");
    second.write_all(b"echo ag''ain\n").unwrap();
    let text = read_until(&mut second, "again");
    assert!(!text.contains("console 42"), "what is over is in the log alone: {text}");
    let log = fixture.read("console.log");
    assert!(log.contains("console 42") && log.contains("again"));
}

#[test]
fn a_client_that_comes_late_sees_the_prompt_that_waits() {
    need_root!();
    let mut fixture = Fixture::busybox();
    let script = "echo booted; printf 'guest1 login: '; read name; echo hello $name; sleep 1000";
    fixture.spec.init = ["/bin/sh", "-c", script].map(Into::into).to_vec();
    let mut agent = fixture.boot();
    eventually("the prompt is there", || fixture.read("console.log").ends_with("login: "));
    let mut client = console(&mut agent, false).unwrap();
    assert_eq!(read_until(&mut client, "login: "), "guest1 login: ");
    client.write_all(b"web\n").unwrap();
    read_until(&mut client, "hello web");
}

#[test]
fn a_console_client_that_never_reads_holds_nobody_up() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let _deaf = console(&mut agent, false).unwrap();
    let command = "head -c 3000000 /dev/zero | tr '\\0' x > /dev/console; echo done";
    assert_eq!(agent.run(&["sh", "-c", command]).1, "done\n");
    assert!(fixture.read("console.log").len() <= 64 * 1024, "the log is bounded");
}
