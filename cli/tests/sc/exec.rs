//! Programs in instances.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Cli, spawn};

#[test]
fn exec_ends_with_the_programs_code_and_outputs() {
    let cli = Cli::new();
    let ran = cli.run(&["exec", "web1", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(7), "out\n", "err\n"));
    let ran = cli.run(&["exec", "web1", "--", "/no/such/program"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(127), "Error: Command not found\n"));
    assert_eq!(cli.error(&["exec", "db1", "true"]), "Error: Instance is not running");
}

#[test]
fn flags_before_the_program_are_ours_and_after_it_its_own() {
    let cli = Cli::new();
    let command = || cli.fake.last("POST").body["command"].clone();
    cli.ok(&["exec", "web1", "echo", "-t", "--env", "x"]);
    assert_eq!(command(), json!(["echo", "-t", "--env", "x"]));
    cli.ok(&["exec", "web1", "--cwd", "/tmp", "--", "echo", "--", "-n"]);
    assert_eq!(command(), json!(["echo", "--", "-n"]));
    assert_eq!(cli.fake.last("POST").body["cwd"], "/tmp");
    assert_eq!(cli.run(&["exec", "web1"]).code, Some(2));
}

#[test]
fn options_of_exec_are_sent() {
    let cli = Cli::new();
    let output = cli.ok(&[
        "exec", "web1", "--env", "A=b=c", "--user", "1000", "--group", "100", "-T", "--", "sh",
        "-c", "echo $A",
    ]);
    assert_eq!(output, "b=c\n");
    let body = cli.fake.last("POST").body;
    assert_eq!((&body["user"], &body["group"]), (&json!(1000), &json!(100)));
    assert_eq!(body["interactive"], false);
    assert_eq!(body["wait-for-websocket"], true);
    assert!(cli.usage(&["exec", "-t", "-T", "web1", "tty"]).contains("cannot be used with"));
    let error = cli.usage(&["exec", "--user", "ann", "web1", "id"]);
    assert!(error.contains("'ann'") && error.contains("it must be a number"), "{error}");
}

#[test]
fn a_console_without_a_terminal_is_refused_after_an_instance_that_is_not_there() {
    let cli = Cli::new();
    assert_eq!(cli.error(&["console", "nope"]), "Error: Instance \"nope\" not found: see sc list");
    assert!(cli.error(&["console", "web1"]).contains("needs a terminal"));
}

#[test]
fn input_of_exec_is_passed_on_unless_it_is_disabled() {
    let cli = Cli::new();
    for (words, expected) in
        [(&["exec", "web1", "wc", "-c"][..], "300000"), (&["exec", "-n", "web1", "wc", "-c"], "0")]
    {
        let mut child = cli.command(words);
        child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; 300_000]);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected);
    }
}

#[test]
fn input_from_a_file_and_output_to_one_are_whole() {
    let cli = Cli::new();
    let mut input = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    input.write_all(&content).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let output = tempfile::NamedTempFile::new().unwrap();
    let status = cli
        .command(&["exec", "web1", "cat"])
        .stdin(input)
        .stdout(output.reopen().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(std::fs::read(output.path()).unwrap() == content);
}

#[test]
fn exec_does_not_wait_for_input_when_the_program_has_ended() {
    let cli = Cli::new();
    let mut child = cli.command(&["exec", "web1", "true"]).stdin(Stdio::piped()).spawn().unwrap();
    let _open = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_slow_reader_gets_everything() {
    let cli = Cli::new();
    let mut child =
        spawn(&mut cli.command(&["exec", "web1", "--", "head", "-c", "30000000", "/dev/zero"]));
    let mut output = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        std::thread::sleep(Duration::from_millis(1));
        match output.read(&mut buffer).unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert_eq!((total, child.wait().unwrap().code()), (30_000_000, Some(0)));
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let cli = Cli::new();
    for words in [&["exec", "web1", "--", "yes"][..], &["list"]] {
        let mut child = spawn(&mut cli.command(words));
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]));
    }
}

#[test]
fn a_signal_is_passed_on_to_the_program() {
    let cli = Cli::new();
    let child = spawn(&mut cli.command(&["exec", "web1", "sleep", "60"]));
    cli.fake.wait_for("POST /1.0/instances/web1/exec", 1);
    let status = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(128 + 15));
}
