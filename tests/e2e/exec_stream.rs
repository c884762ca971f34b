//! `exec` on one connection, by clients that `sc` is not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sc_api::exec::{ExecFrame, ExecStream, FrameBuffer, WINDOW};
use sc_tests::guests::Busybox;
use sc_tests::{Daemon, eventually};
use serde_json::json;

/// Asks for a program on the connection itself; returns the answer's head, and what came behind it.
fn ask(daemon: &Daemon, command: &[&str]) -> (UnixStream, String, Vec<u8>) {
    post(daemon, "Upgrade", &json!({ "command": command }))
}

/// As [`ask`], with these options of the connection and this body.
fn post(daemon: &Daemon, options: &str, body: &serde_json::Value) -> (UnixStream, String, Vec<u8>) {
    let mut stream = UnixStream::connect(daemon.dir().join("unix.socket")).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /1.0/instances/c1/exec HTTP/1.1\r\nHost: sc\r\nConnection: {options}\r\n\
         Upgrade: sc-exec/1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "an answer: {answer:?}");
        answer.extend_from_slice(&piece[..read]);
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let behind = answer.split_off(end + 4);
            return (stream, String::from_utf8(answer).unwrap(), behind);
        }
    }
}

/// The answer to a request that starts nothing: its head and body.
fn refusal(daemon: &Daemon, body: &serde_json::Value) -> String {
    let (mut stream, head, mut body) = post(daemon, "Upgrade", body);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// A program that runs, on its connection.
struct Running {
    stream: UnixStream,
    frames: FrameBuffer,
    operation: String,
}

impl Running {
    fn start(daemon: &Daemon, command: &[&str]) -> Self {
        let (stream, head, behind) = ask(daemon, command);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut frames = FrameBuffer::default();
        frames.room().extend(behind);
        let operation = head.lines().find_map(|line| line.strip_prefix("location: "));
        Self { stream, frames, operation: operation.unwrap().to_owned() }
    }

    fn send(&mut self, frame: ExecFrame<'_>) {
        self.stream.write_all(&frame.encode()).unwrap();
    }

    /// Takes frames up to the program's end; `None` where the connection ends without it.
    fn exit(mut self) -> Option<i32> {
        loop {
            while let Some(frame) = self.frames.take().unwrap() {
                if let ExecFrame::Exit(status) = frame {
                    return Some(status);
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.frames.room().extend_from_slice(&piece[..read]),
            }
        }
    }
}

fn runs(daemon: &Daemon, words: &str) -> bool {
    daemon.inside("c1", "ps -o args").lines().any(|line| line == words)
}

fn ends(daemon: &Daemon, words: &str) {
    eventually("the program ends", Duration::from_secs(20), || {
        (!runs(daemon, words)).then_some(())
    });
}

#[test]
fn what_runs_on_a_connection_is_an_operation_and_takes_signals() {
    let daemon = Busybox::running();
    let mut sleep = Running::start(&daemon, &["sleep", "1003"]);
    let list = daemon.sc(&["operation", "list", "-f", "csv"]).ok().to_owned();
    assert!(list.contains("Executing command"), "{list}");
    sleep.send(ExecFrame::Signal(15));
    assert_eq!(sleep.exit(), Some(128 + 15));
}

#[test]
fn a_program_that_cannot_be_started_is_refused_with_a_shells_status() {
    let daemon = Busybox::running();
    for (command, line, part) in [
        ("nothing-such", "HTTP/1.1 404 ", "\"return\":127"),
        ("/etc", "HTTP/1.1 403 ", "\"return\":126"),
        ("", "HTTP/1.1 400 ", "name a program"),
    ] {
        let answer = refusal(&daemon, &json!({ "command": [command] }));
        assert!(answer.starts_with(line) && answer.contains(part), "{answer}");
    }
}

#[test]
fn a_program_for_a_guest_that_is_just_ending_is_told_that_it_does_not_run() {
    let daemon = Busybox::running();
    for _round in 0..5 {
        // So many that the kernel takes a while to end them.
        let crowd = "for a in 1 2 3 4 5 6; do for b in 1 2 3 4 5 6 7 8 9; do for c in 1 2 3 4 5 6; do \
                     sleep 900 & done; done; done >/dev/null 2>&1 </dev/null";
        daemon.inside("c1", crowd);
        let init = i32::try_from(sc_tests::pid(&daemon, "c1")).unwrap();
        let init = rustix::process::Pid::from_raw(init).unwrap();
        rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
        // What was started before is killed, and has nothing to say.
        let told = eventually("it is refused", Duration::from_secs(20), || {
            Some(daemon.exec("c1", &["true"]).stderr).filter(|told| !told.is_empty())
        });
        assert_eq!(told, "Error: Instance \"c1\" is not running: start it first\n");
        daemon.sc(&["start", "c1"]).ok();
    }
}

#[test]
fn a_program_for_a_guest_that_is_just_rebooting_is_told_that() {
    let daemon = Busybox::running();
    // From the fourth on, each further boot is waited for.
    let told = eventually("it is refused", Duration::from_secs(30), || {
        Some(daemon.exec("c1", &["reboot", "-f"]).stderr).filter(|told| !told.is_empty())
    });
    assert!(told.contains("just reboot") && told.ends_with(": try again\n"), "{told}");
    daemon.sc(&["stop", "--force", "c1"]).ok();
}

#[test]
fn without_the_option_of_the_connection_an_upgrade_is_none() {
    let daemon = Busybox::running();
    let body = json!({ "command": ["true"], "wait-for-websocket": true });
    let (_stream, head, _) = post(&daemon, "close", &body);
    assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
}

#[test]
fn what_cannot_be_the_words_of_a_program_is_refused_by_the_name_of_its_field() {
    let daemon = Busybox::running();
    for (body, field) in [
        (json!({ "command": ["true", "a\0b"] }), "command"),
        (json!({ "command": ["true"], "cwd": "/tmp\0/x" }), "cwd"),
        (json!({ "command": ["true"], "environment": { "A": "a\0b" } }), "environment"),
        (json!({ "command": ["true"], "environment": { "A\0B": "" } }), "environment"),
    ] {
        let answer = refusal(&daemon, &body);
        let named = format!("field \\\"{field}\\\": ");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(&named), "{answer}");
    }
}

#[test]
fn the_path_of_a_program_or_folder_that_no_system_takes_is_refused_and_shown_in_part() {
    let daemon = Busybox::running();
    daemon.inside("c1", "ln -s /root/b /root/a; ln -s /root/a /root/b");
    let long = format!("/{}", "x".repeat(200_000));
    for (command, cwd, line, part) in [
        (&*long, "/", "HTTP/1.1 400 ", "File name too long"),
        ("true", &*long, "HTTP/1.1 400 ", "a path has 4095 at most"),
        ("true", &long[..4000], "HTTP/1.1 400 ", "enter directory /xxx"),
        ("/root/a", "/", "HTTP/1.1 400 ", "/root/a"),
        ("/root/a/x", "/", "HTTP/1.1 400 ", "Too many levels of symbolic links"),
        ("/etc/passwd/x", "/", "HTTP/1.1 404 ", "/etc/passwd/x"),
    ] {
        let answer = refusal(&daemon, &json!({ "command": [command], "cwd": cwd }));
        assert!(answer.starts_with(line) && answer.contains(part), "{}", &answer[..300]);
        assert!(answer.len() < 2000, "{} bytes", answer.len());
    }
}

#[test]
fn input_that_nobody_reads_is_kept_as_far_as_there_is_credit_and_signals_pass_it() {
    let daemon = Busybox::running();
    let mut sleep = Running::start(&daemon, &["sleep", "1004"]);
    let piece = vec![b'x'; 1 << 14];
    for _ in 0..WINDOW as usize / piece.len() {
        sleep.send(ExecFrame::Data(ExecStream::Stdin, &piece));
    }
    sleep.send(ExecFrame::Signal(10));
    assert_eq!(sleep.exit(), Some(128 + 10));
}

#[test]
fn a_client_that_does_not_keep_to_the_protocol_loses_its_program() {
    let daemon = Busybox::running();
    let too_much = vec![b'x'; 1 << 14];
    let too_much = ExecFrame::Data(ExecStream::Stdin, &too_much).encode();
    let pieces = 2 * WINDOW as usize / (1 << 14);
    for (seconds, bytes) in [
        // No such frame; one of the server's; more input than there is credit for.
        ("1005", vec![9, 0, 0, 0, 0]),
        ("1006", ExecFrame::Exit(0).encode()),
        ("1007", too_much.repeat(pieces)),
    ] {
        let mut sleep = Running::start(&daemon, &["sleep", seconds]);
        // It may be closed before all is written.
        let _ = sleep.stream.write_all(&bytes);
        assert_eq!(sleep.exit(), None);
        ends(&daemon, &format!("sleep {seconds}"));
    }
}

#[test]
fn a_client_that_leaves_output_of_an_ended_program_unread_changes_nothing_of_its_end() {
    let daemon = Busybox::running();
    let script = "head -c 1000000 /dev/zero & exit 7";
    let Running { stream, operation, .. } = Running::start(&daemon, &["sh", "-c", script]);
    eventually("the program ends", Duration::from_secs(20), || {
        (!runs(&daemon, "sh -c head -c 1000000 /dev/zero & exit 7")).then_some(())
    });
    drop(stream);
    let ended = daemon.json(&["query", &format!("{operation}/wait")]);
    assert_eq!(ended["status"], "Success");
    assert_eq!(ended["metadata"]["return"], 7);
}

#[test]
fn a_program_of_a_client_that_leaves_with_its_answer_ends() {
    let daemon = Busybox::running();
    drop(Running::start(&daemon, &["sleep", "1008"]));
    ends(&daemon, "sleep 1008");
}

#[test]
fn a_program_in_the_midst_of_its_output_hears_of_the_hang_up_before_its_pipe_breaks() {
    let daemon = Busybox::running();
    for number in 0..10 {
        let script = format!(
            "trap 'echo heard >/root/{number}.word; exit' HUP
             touch /root/{number}.up
             while :; do echo and so on; done"
        );
        let talker = Running::start(&daemon, &["sh", "-c", &script]);
        let is_there = |file: String| daemon.inside("c1", "ls /root").lines().any(|it| it == file);
        let soon = Duration::from_secs(20);
        eventually("it talks", soon, || is_there(format!("{number}.up")).then_some(()));
        drop(talker);
        eventually("it hears", soon, || is_there(format!("{number}.word")).then_some(()));
    }
}
