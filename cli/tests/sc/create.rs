//! New instances, and the operations that make them.

use std::io::{Seek, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cli, Ran, finish, spawn, with_input};

#[test]
fn launch_creates_and_starts_in_one_request() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["launch", "debian:12", "c1"]), "Launched c1\n");
    assert_eq!(cli.fake.lines(), ["POST /1.0/instances"]);
    let body = cli.fake.last("POST").body;
    assert_eq!(body["start"], true);
    assert_eq!(
        body["source"],
        json!({"type": "image", "protocol": "packages", "server": "", "alias": "12",
               "fingerprint": ""})
    );
    assert_eq!(body["profiles"], Value::Null);
}

#[test]
fn init_tells_the_name_that_was_made_up() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["init", "bb"]), "Created merry-otter\n");
    assert_eq!(cli.ok(&["create", "bb", "c2"]), "Created c2\n");
    assert_eq!(cli.ok(&["launch", "-q", "bb"]), "merry-otter\n");
    assert_eq!(cli.ok(&["init", "-q", "bb"]), "merry-otter\n");
    assert_eq!(cli.fake.last("POST").body["start"], false);
}

#[test]
fn options_of_launch_are_sent() {
    let cli = Cli::new();
    cli.ok(&[
        "launch",
        "bb",
        "c1",
        "-c",
        "limits.memory=64MiB",
        "--config",
        "user.a=b=c",
        "-p",
        "p1",
        "-p",
        "p2",
        "-e",
        "-d",
        "data,type=disk,source=/srv,path=/srv",
        "-s",
        "fast",
        "-n",
        "br1",
    ]);
    let body = cli.fake.last("POST").body;
    assert_eq!(body["config"], json!({"limits.memory": "64MiB", "user.a": "b=c"}));
    assert_eq!(body["profiles"], json!(["p1", "p2"]));
    assert_eq!(body["ephemeral"], true);
    assert_eq!(
        body["devices"],
        json!({
            "data": {"type": "disk", "source": "/srv", "path": "/srv"},
            "root": {"type": "disk", "path": "/", "pool": "fast"},
            "eth0": {"type": "nic", "name": "eth0", "network": "br1"}
        })
    );
    cli.ok(&["launch", "bb", "c1", "--no-profiles"]);
    assert_eq!(cli.fake.last("POST").body["profiles"], json!([]));
}

const YAML: &str = "
config: {limits.cpu: 2, user.a: file}
description: words
devices: {root: {type: disk, path: /, pool: slow, size: 1GiB}}
ephemeral: true
profiles: [p1]
";

#[test]
fn configuration_is_read_from_a_file_or_pipe_below_the_arguments() {
    let cli = Cli::new();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(YAML.as_bytes()).unwrap();
    file.rewind().unwrap();
    let words = ["launch", "bb", "c1", "-c", "user.a=flag", "-s", "fast"];
    let from_file = finish(cli.command(&words).stdin(file));
    assert_eq!(from_file.code, Some(0), "{from_file:?}");
    let body = cli.fake.last("POST").body;
    assert_eq!(body["config"], json!({"limits.cpu": "2", "user.a": "flag"}));
    let root = json!({"type": "disk", "path": "/", "pool": "fast", "size": "1GiB"});
    assert_eq!(body["devices"], json!({"root": root}));
    assert_eq!((&body["description"], &body["ephemeral"]), (&json!("words"), &json!(true)));
    assert_eq!(body["profiles"], json!(["p1"]));

    with_input(cli.command(&["init", "bb", "c1", "-p", "p2"]), YAML);
    assert_eq!(cli.fake.last("POST").body["profiles"], json!(["p2"]));
    with_input(cli.command(&["profile", "create", "p1", "user.a=flag"]), "config: {user.b: pipe}");
    let config = json!({"user.a": "flag", "user.b": "pipe"});
    assert_eq!(cli.fake.last("POST /1.0/profiles").body["config"], config);
    let wrong = with_input(cli.command(&["init", "bb"]), "confg: {}");
    assert!(wrong.code == Some(1) && wrong.stderr.contains("confg"), "{wrong:?}");
}

#[test]
fn a_slow_pipe_is_waited_for_and_a_silent_one_is_an_error() {
    let cli = Cli::new();
    let begin = |words: &[&str]| {
        let mut command = cli.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        (child.stdin.take().unwrap(), child)
    };
    let (held_open, silent) = begin(&["-q", "init", "bb"]);
    let (mut slow, child) = begin(&["init", "bb"]);
    std::thread::sleep(Duration::from_millis(1500));
    slow.write_all(b"config: {user.a: late}").unwrap();
    drop(slow);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("Waiting for YAML for an instance on standard"), "{ran:?}");
    assert_eq!(cli.fake.last("POST").body["config"], json!({"user.a": "late"}));

    let ran: Ran = silent.wait_with_output().unwrap().into();
    drop(held_open);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(ran.stderr.contains("said nothing for 10 s: pass </dev/null"), "{ran:?}");
    assert_eq!(cli.fake.lines().len(), 1, "nothing was asked for");
}

#[test]
fn what_is_shown_of_an_instance_serves_for_another_without_its_records() {
    let cli = Cli::new();
    let shown = "config: {user.a: 1, volatile.eth0.hwaddr: '00:16:3e:00:00:01', volatile.uuid: u}";
    let ran = with_input(cli.command(&["init", "bb", "c2"]), shown);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told =
        "Not taken over from the instance in the YAML: volatile.eth0.hwaddr, volatile.uuid\n";
    assert!(ran.stderr.starts_with(told), "{ran:?}");
    assert_eq!(cli.fake.last("POST").body["config"], json!({"user.a": "1"}));
    let hwaddr = "volatile.eth0.hwaddr=00:16:3e:00:00:01";
    cli.ok(&["init", "bb", "c2", "-c", hwaddr]);
    assert!(cli.fake.last("POST").body["config"]["volatile.eth0.hwaddr"].is_string());
    let error = cli.error(&["init", "bb", "-c", "volatile.uuid=u"]);
    assert_eq!(error, "Error: volatile.uuid is the daemon's own record: it cannot be set");
}

#[test]
fn networks_and_pools_are_given_as_they_are_shown() {
    let cli = Cli::new();
    let shown = "config: {ipv4.nat: false, ipv6.nat: ~}\nname: br0\ntype: bridge\nmanaged: true\n\
                 status: Created\nlocations: []\nused_by: [/1.0/profiles/default]\n";
    let words = ["network", "create", "br1", "ipv6.nat=true", "--description", "words"];
    let ran = with_input(cli.command(&words), shown);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        cli.fake.last("POST /1.0/networks").body,
        json!({"name": "br1", "type": "bridge", "description": "words",
               "config": {"ipv4.nat": "false", "ipv6.nat": "true"}})
    );
    let shown = "config: {source: /pool}\ndescription: words\nname: p\ndriver: dir\nused_by: []\n";
    let ran = with_input(cli.command(&["storage", "create", "p1", "dir"]), shown);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        cli.fake.last("POST /1.0/storage-pools").body,
        json!({"name": "p1", "driver": "dir", "description": "words",
               "config": {"source": "/pool"}})
    );
}

#[test]
fn standard_input_that_is_not_meant_is_not_eaten() {
    let cli = Cli::new();
    let fine = |ran: Ran| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(cli.fake.last("POST").body["config"], json!({}));
    };
    let mut list = tempfile::tempfile().unwrap();
    list.write_all(b"c1\nc2\n").unwrap();
    list.seek(std::io::SeekFrom::Start(3)).unwrap();
    fine(finish(cli.command(&["init", "bb"]).stdin(list.try_clone().unwrap())));
    assert_eq!(list.stream_position().unwrap(), 3, "a loop's list is left alone");
    fine(with_input(cli.command(&["init", "bb"]), ""));
}

#[test]
fn a_device_of_a_profile_is_changed_by_its_keys() {
    let cli = Cli::new();
    cli.ok(&["init", "bb", "c1", "-d", "root,size=1GiB"]);
    let root = json!({"type": "disk", "path": "/", "pool": "default", "size": "1GiB"});
    assert_eq!(cli.fake.last("POST").body["devices"], json!({"root": root}));
    cli.ok(&["init", "bb", "c1", "-d", "root,size=1GiB", "-s", "fast"]);
    let root = json!({"type": "disk", "path": "/", "pool": "fast", "size": "1GiB"});
    assert_eq!(cli.fake.last("POST").body["devices"], json!({"root": root}));
    let error = cli.error(&["init", "bb", "c1", "-d", "data,size=1GiB"]);
    assert!(error.contains("\"data\"") && error.contains("`type=`"), "{error}");
}

#[test]
fn steps_are_lines_where_there_is_no_terminal() {
    let cli = Cli::new();
    let ran = cli.run(&["launch", "slow", "c1"]);
    assert_eq!(ran.stdout, "Launched c1\n");
    assert!(ran.stderr.ends_with("Creating c1: Unpacking\n"), "{ran:?}");
    assert!(ran.stderr.lines().count() <= 2, "{ran:?}");
    assert_eq!(cli.run(&["-q", "launch", "slow", "c1"]).stderr, "");
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_signal_cancels_the_operation_and_the_exit_code_says_so() {
    for (signal, code, word) in [("INT", 130, "interrupted"), ("TERM", 143, "terminated")] {
        let cli = Cli::new();
        let child = spawn(&mut cli.command(&["-q", "launch", "slow", "c1"]));
        cli.fake.wait_for("GET /1.0/operations/op-0/wait", 1);
        send(signal, &child);
        let said = format!("Error: {word}: creating c1 was cancelled\n");
        assert_eq!(ended(child), (Some(code), said));
        cli.fake.last("DELETE /1.0/operations/op-0");
    }
}

#[test]
fn ctrl_c_leaves_what_cannot_be_cancelled() {
    let cli = Cli::new();
    let child = spawn(&mut cli.command(&["-q", "launch", "stubborn", "c1"]));
    cli.fake.wait_for("GET /1.0/operations/op-0/wait", 1);
    send("INT", &child);
    let (code, text) = ended(child);
    assert_eq!(code, Some(130));
    let what = "creating c1 cannot be cancelled and goes on in the daemon as operation op-0";
    assert_eq!(text, format!("Error: interrupted: {what}\n"));
}

#[test]
fn ctrl_c_during_several_begins_no_further_one() {
    let cli = Cli::new();
    let names: Vec<String> = (0..50).map(|number| format!("stuck{number}")).collect();
    let mut words = vec!["start"];
    words.extend(names.iter().map(String::as_str));
    let child = spawn(&mut cli.command(&words));
    cli.fake.wait_for("GET /1.0/operations/", 32);
    send("INT", &child);
    let (code, text) = ended(child);
    assert_eq!((code, text.lines().count()), (Some(130), 1), "{text}");
    assert_eq!(text.matches("was cancelled").count(), 32, "{text}");
    let lines = cli.fake.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("PUT")).count(), 32, "{lines:?}");
}
