//! A daemon that does not answer, as one that was stopped.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{finish, plain_command, spawn};

struct Silent {
    listener: UnixListener,
    folder: tempfile::TempDir,
}

impl Silent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { listener: UnixListener::bind(folder.path().join("unix.socket")).unwrap(), folder }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = plain_command(words);
        command.env("SC_DIR", self.folder.path());
        command
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_waited_for_and_that_is_said_once() {
    let silent = Silent::new();
    let mut child = spawn(&mut silent.command(&["start", "web1", "db1"]));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "The daemon has not answered yet: waiting (ctrl-c to leave off)\n");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None);
    drop(silent.listener);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.lines().all(|line| line.starts_with("Error: ")), "{rest}");
    child.wait().unwrap();
}

#[test]
fn a_shell_is_not_kept_waiting_by_a_daemon_that_does_not_answer() {
    let silent = Silent::new();
    let begun = Instant::now();
    let mut command = silent.command(&["--", "sc", "stop", "w"]);
    command.env("SC_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
    command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
    let ran = finish(command.env("IFS", "\n"));
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn waitready_gives_up_also_on_a_daemon_that_does_not_answer() {
    let ran = finish(&mut Silent::new().command(&["admin", "waitready", "-t", "1"]));
    assert_eq!(ran.stderr, "Error: the daemon is not ready after 1 s: it does not answer\n");
}
