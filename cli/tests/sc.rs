//! The command line as users meet it, against a small server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fake::Fake;
use serde_json::{Value, json};

/// A command line on a server of its own.
struct Cli {
    fake: Fake,
}

/// What a run left.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Cli {
    fn new() -> Self {
        Self { fake: Fake::start() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = plain_command(words);
        command.env("SC_SOCKET", &self.fake.socket);
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        finish(self.command(words).stdin(Stdio::null()))
    }

    /// Runs it and expects success; returns standard output.
    fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
        ran.stdout
    }

    /// Runs it and expects failure with code 1 and one line; returns the line.
    fn error(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(1), "{words:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        ran.stderr.trim_end().to_owned()
    }
}

fn plain_command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sc"));
    command.args(words);
    for name in ["SC_DIR", "SC_SOCKET", "SC_REMOTE", "SC_PROJECT", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

const TABLE: &str = "\
+------+---------+-----------------+----------------+-----------+-----------+
| NAME |  STATE  |       IPV4      |      IPV6      |    TYPE   | SNAPSHOTS |
+------+---------+-----------------+----------------+-----------+-----------+
| db1  | STOPPED |                 |                | CONTAINER | 0         |
+------+---------+-----------------+----------------+-----------+-----------+
| web1 | RUNNING | 10.7.0.2 (eth0) | fd42::2 (eth0) | CONTAINER | 0         |
+------+---------+-----------------+----------------+-----------+-----------+
";

#[test]
fn a_list_is_a_table_of_one_request() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["list"]), TABLE);
    assert_eq!(cli.fake.lines(), ["GET /1.0/instances?recursion=2"]);
}

#[test]
fn a_list_without_state_asks_for_none() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["list", "-c", "ns", "-f", "csv"]), "db1,STOPPED\nweb1,RUNNING\n");
    assert_eq!(cli.fake.lines(), ["GET /1.0/instances?recursion=1"]);
}

#[test]
fn a_list_comes_in_every_form() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["list", "-c", "nd", "-f", "csv", "web"]), "web1,\"a, \"\"b\"\"\"\n");
    let parsed: Value = serde_json::from_str(&cli.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!(parsed[1]["state"]["network"]["eth0"]["addresses"][0]["address"], "10.7.0.2");
    let yaml: Value = serde_saphyr::from_str(&cli.ok(&["list", "-f", "yaml"])).unwrap();
    assert_eq!(yaml, parsed);
    let compact = cli.ok(&["list", "-f", "compact", "-c", "ns"]);
    assert!(!compact.contains('+') && compact.contains("NAME"), "{compact}");
}

#[test]
fn columns_are_chosen_by_letter_and_by_key() {
    let cli = Cli::new();
    let columns = "n,user.owner:OWNER,mMDNpubfPac";
    let text = cli.ok(&["list", "-c", columns, "web1"]);
    for part in ["OWNER", "ann", "32.00MiB", "50.0%", "8.00MiB", "12", "4321", "2s", "default"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = cli.error(&["list", "-c", "nx"]);
    assert!(error.starts_with("Error: there is no column 'x'; the columns are ns46tS"), "{error}");
}

#[test]
fn a_list_can_be_filtered() {
    let cli = Cli::new();
    let names = |filter: &str| cli.ok(&["list", "-c", "n", "-f", "csv", filter]);
    assert_eq!(names("w"), "web1\n");
    assert_eq!(names("*1"), "db1\nweb1\n");
    assert_eq!(names("status=running"), "web1\n");
    assert_eq!(names("user.owner=bob"), "");
    assert!(cli.error(&["list", "size=1"]).contains("nothing can be filtered by \"size\""));
}

#[test]
fn a_failure_is_one_sentence_and_code_1() {
    let cli = Cli::new();
    assert_eq!(cli.error(&["info", "nope"]), "Error: Instance not found");
    assert_eq!(cli.error(&["start", "nope"]), "Error: Instance not found");
    assert_eq!(cli.error(&["launch", "broken", "c1"]), "Error: unpack image: tar ends too early");
    assert_eq!(cli.error(&["launch", "missing", "c1"]), "Error: Image alias not found");
}

#[test]
fn wrong_usage_is_one_sentence_and_code_2() {
    let cli = Cli::new();
    for words in [&["lst"][..], &["start"], &["list", "--nope"], &["launch"], &["list", "-f", "x"]]
    {
        let ran = cli.run(words);
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(ran.stderr.starts_with("Error: ") && ran.stderr.lines().count() == 1, "{ran:?}");
    }
    assert!(cli.fake.lines().is_empty());
}

#[test]
fn a_daemon_that_does_not_run_is_named_with_what_starts_it() {
    let ran = finish(plain_command(&["list"]).env("SC_DIR", "/nonexistent"));
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with(
            "Error: the daemon does not answer at /nonexistent/unix.socket: start it as root with `"
        ),
        "{ran:?}"
    );
}

#[test]
fn help_and_version_need_no_daemon() {
    let ran = finish(plain_command(&["--help"]).env("SC_DIR", "/nonexistent"));
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("launch") && ran.stdout.contains("Exit codes"), "{ran:?}");
    let ran = finish(&mut plain_command(&["list", "--help"]));
    assert!(ran.stdout.contains("Columns:\n  n  Name\n"), "{}", ran.stdout);
    let ran = finish(&mut plain_command(&["--version"]));
    assert!(ran.stdout.starts_with("sc "), "{ran:?}");
}

#[test]
fn nothing_is_coloured_in_a_pipe() {
    let cli = Cli::new();
    for words in [&["--help"][..], &["list"], &["info", "nope"], &["lst"]] {
        let ran = cli.run(words);
        assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'), "{ran:?}");
    }
}

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

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn ctrl_c_cancels_the_operation() {
    let cli = Cli::new();
    let child = spawn(&mut cli.command(&["-q", "launch", "slow", "c1"]));
    cli.fake.wait_for("GET /1.0/operations/op-0/wait", 1);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"Error: the operation was cancelled\n");
    cli.fake.last("DELETE /1.0/operations/op-0");
}

#[test]
fn ctrl_c_three_times_leaves_what_cannot_be_cancelled() {
    let cli = Cli::new();
    let child = spawn(&mut cli.command(&["-q", "launch", "stubborn", "c1"]));
    cli.fake.wait_for("GET /1.0/operations/op-0/wait", 1);
    for refused in 1..3 {
        interrupt(&child);
        cli.fake.wait_for("DELETE /1.0/operations/op-0", refused);
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("This operation can't be cancelled (interrupt 2 more times"), "{text}");
    assert!(text.contains("Error: interrupted; the operation goes on"), "{text}");
}

#[test]
fn several_instances_are_each_told_when_they_fail() {
    let cli = Cli::new();
    let ran = cli.run(&["stop", "web1", "db1", "nope"]);
    assert_eq!(ran.code, Some(1));
    let mut lines: Vec<&str> = ran.stderr.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["Error: db1: The instance is already stopped", "Error: nope: Instance not found"]
    );
    assert_eq!(cli.fake.last("PUT /1.0/instances/web1/state").body["timeout"], -1);
}

#[test]
fn stop_passes_force_and_timeout_on() {
    let cli = Cli::new();
    cli.ok(&["stop", "web1", "--force"]);
    let stop = json!({"action": "stop", "timeout": -1, "force": true, "stateful": false});
    assert_eq!(cli.fake.last("PUT").body, stop);
    cli.ok(&["restart", "web1", "--timeout", "5"]);
    let restart = json!({"action": "restart", "timeout": 5, "force": false, "stateful": false});
    assert_eq!(cli.fake.last("PUT").body, restart);
    assert!(cli.error(&["stop", "web1", "-f", "--timeout", "5"]).contains("--timeout"));
    cli.ok(&["stop", "--all"]);
    assert!(!cli.fake.lines().contains(&"PUT /1.0/instances/db1/state".to_owned()));
}

#[test]
fn a_running_instance_is_deleted_by_force_only() {
    let cli = Cli::new();
    assert_eq!(
        cli.error(&["delete", "web1"]),
        "Error: instance web1 is running: stop it first, or pass --force"
    );
    cli.ok(&["delete", "db1"]);
    assert_eq!(cli.fake.lines().last().unwrap(), "DELETE /1.0/instances/db1");
    cli.ok(&["delete", "db1", "--force"]);
    cli.run(&["delete", "web1", "--force"]);
    assert_eq!(cli.fake.last("PUT /1.0/instances/web1/state").body["force"], true);
}

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

#[test]
fn the_consoles_log_is_printed_as_it_is() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["console", "web1", "--show-log"]), "login: ");
    let error = cli.error(&["console", "web1"]);
    assert!(error.contains("needs a terminal") && error.contains("--show-log"), "{error}");
    let text = cli.ok(&["info", "web1", "--show-log"]);
    assert!(text.ends_with("\nLog:\n\nthe agent's log\n"), "{text}");
}

#[test]
fn info_shows_what_an_instance_uses() {
    let text = Cli::new().ok(&["info", "web1"]);
    for line in [
        "Name: web1",
        "Status: RUNNING",
        "PID: 4321",
        "  Processes: 12",
        "  CPU usage: 2.500 s",
        "  Memory: 32.00MiB of 64.00MiB",
        "    inet: 10.7.0.2/24 (global)",
        "    Host interface: veth1",
        "    Received: 2.00KiB in 20 packets",
    ] {
        assert!(text.lines().any(|has| has == line), "{line}: {text}");
    }
    assert!(Cli::new().ok(&["info"]).contains("server_version: "));
}

#[test]
fn keys_are_set_read_and_removed() {
    let cli = Cli::new();
    cli.ok(&["config", "set", "web1", "user.a=1", "user.b=2"]);
    let put = cli.fake.last("PUT /1.0/instances/web1");
    assert_eq!(put.body["config"], json!({"user.owner": "ann", "user.a": "1", "user.b": "2"}));
    assert_eq!(put.headers["if-match"], "\"etag-1\"");
    cli.ok(&["config", "set", "web1", "user.a", "-1"]);
    assert_eq!(cli.fake.last("PUT").body["config"]["user.a"], "-1");
    cli.ok(&["config", "unset", "web1", "user.owner"]);
    assert_eq!(cli.fake.last("PUT").body["config"], json!({}));
    assert_eq!(
        cli.error(&["config", "unset", "web1", "user.none"]),
        "Error: the key \"user.none\" is not set"
    );
    assert_eq!(cli.ok(&["config", "get", "web1", "user.owner"]), "ann\n");
    assert_eq!(cli.ok(&["config", "get", "web1", "user.none"]), "\n");
    let shown: Value = serde_saphyr::from_str(&cli.ok(&["config", "show", "web1"])).unwrap();
    assert_eq!(shown["profiles"], json!(["default"]));
}

fn with_input(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn what_is_shown_can_be_edited_from_input() {
    let cli = Cli::new();
    let shown = cli.ok(&["config", "show", "web1"]);
    let ran = with_input(cli.command(&["config", "edit", "web1"]), &shown.replace("ann", "bob"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(cli.fake.last("PUT").body["config"]["user.owner"], "bob");
    let shown = cli.ok(&["profile", "show", "default"]);
    let ran = with_input(cli.command(&["profile", "edit", "default"]), &shown);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn yaml_that_cannot_be_read_changes_nothing() {
    let cli = Cli::new();
    for text in ["config: [", "confg:\n  user.a: 1\n", "config:\n  user.a: [1]\n"] {
        let ran = with_input(cli.command(&["config", "edit", "web1"]), text);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let start = "Error: the YAML for instance web1 cannot be read: ";
        assert!(ran.stderr.starts_with(start), "{ran:?}");
    }
    assert!(!cli.fake.lines().iter().any(|line| line.starts_with("PUT")));
}

#[test]
fn devices_are_added_overridden_and_removed() {
    let cli = Cli::new();
    cli.ok(&["config", "device", "add", "web1", "data", "disk", "source=/srv", "path=/srv"]);
    let data = json!({"type": "disk", "source": "/srv", "path": "/srv"});
    assert_eq!(cli.fake.last("PUT").body["devices"], json!({"data": data}));
    cli.ok(&["config", "device", "override", "web1", "root", "size=2GiB"]);
    assert_eq!(cli.fake.last("PUT").body["devices"]["root"]["pool"], "default");
    let error = cli.error(&["config", "device", "remove", "web1", "nope"]);
    assert_eq!(error, "Error: the instance has no device \"nope\" of its own");
}

#[test]
fn profiles_are_added_to_instances_once() {
    let cli = Cli::new();
    cli.ok(&["profile", "add", "web1", "p1"]);
    assert_eq!(cli.fake.last("PUT").body["profiles"], json!(["default", "p1"]));
    assert!(cli.error(&["profile", "add", "web1", "default"]).contains("already"));
    cli.ok(&["profile", "remove", "web1", "default"]);
    assert_eq!(cli.fake.last("PUT").body["profiles"], json!([]));
    cli.ok(&["profile", "create", "p1", "limits.cpu=1"]);
    assert_eq!(cli.fake.last("POST").body["config"], json!({"limits.cpu": "1"}));
    assert!(cli.error(&["profile", "create", "../x"]).contains("Invalid profile name"));
}

#[test]
fn an_image_is_imported_with_its_aliases() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("meta.tar"), "m").unwrap();
    std::fs::write(file("rootfs.squashfs"), "r").unwrap();
    let words =
        ["image", "import", &file("meta.tar"), &file("rootfs.squashfs"), "os=box", "--alias", "b2"];
    let output = cli.ok(&words);
    assert!(output.starts_with("Image imported with fingerprint: 8bcbc9284be0"), "{output}");
    assert_eq!(cli.fake.last("POST /1.0/images").line, "POST /1.0/images/aliases");
    let upload = cli.fake.asked().into_iter().find(|asked| asked.line == "POST /1.0/images");
    assert_eq!(upload.unwrap().headers["x-lxd-properties"], "os=box");
    let error = cli.error(&["image", "import", &file("none")]);
    assert!(error.contains("none: No such file"), "{error}");
}

#[test]
fn images_are_listed_shown_and_deleted() {
    let cli = Cli::new();
    let text = cli.ok(&["image", "list", "-f", "csv"]);
    assert_eq!(
        text,
        "bb,8bcbc9284be0,no,\"Tiny, box\",x86_64,CONTAINER,962.56KiB,2026/11/24 09:30 UTC\n"
    );
    assert!(cli.ok(&["image", "info", "bb"]).contains("Aliases:\n  bb\n"));
    cli.ok(&["image", "delete", "8bcb"]);
    assert_eq!(cli.error(&["image", "delete", "nope"]), "Error: Image not found");
    assert!(cli.error(&["image", "list", "debian:"]).contains("built when they are asked for"));
}

#[test]
fn networks_and_pools_are_listed_and_shown() {
    let cli = Cli::new();
    assert_eq!(
        cli.ok(&["network", "list", "-f", "csv"]),
        "scbr0,bridge,YES,10.7.0.1/24,,,0,CREATED\n"
    );
    assert_eq!(cli.ok(&["storage", "list", "-f", "csv"]), "default,overlay,/pool,,0,CREATED\n");
    assert!(cli.ok(&["storage", "info", "default"]).contains("Space used: 1.00GiB of 4.00GiB"));
    assert!(cli.ok(&["network", "show", "scbr0"]).contains("ipv4.address: 10.7.0.1/24"));
}

#[test]
fn any_request_can_be_sent() {
    let cli = Cli::new();
    let value: Value = serde_json::from_str(&cli.ok(&["query", "/1.0/profiles"])).unwrap();
    assert_eq!(value[0]["name"], "default");
    cli.ok(&["query", "-X", "put", "-d", "{\"a\":1}", "/1.0/profiles/default"]);
    assert_eq!(cli.fake.last("PUT").body, json!({"a": 1}));
    assert_eq!(cli.error(&["query", "/1.0/instances/nope"]), "Error: Instance not found");
    assert!(cli.error(&["query", "nope"]).contains("no path"));
    let waited = cli.ok(&["query", "--wait", "-X", "DELETE", "/1.0/instances/db1"]);
    assert!(waited.contains("\"status\": \"Success\""), "{waited}");
}

#[test]
fn the_daemon_is_waited_for() {
    let cli = Cli::new();
    cli.ok(&["admin", "waitready", "--timeout", "5"]);
    let ran =
        finish(plain_command(&["admin", "waitready", "-t", "1"]).env("SC_DIR", "/nonexistent"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("Error: the daemon is not ready after 1 s: "), "{ran:?}");
}

#[test]
fn init_makes_nothing_where_all_is_there() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["admin", "init", "--auto"]), "");
    assert!(cli.fake.lines().iter().all(|line| line.starts_with("GET")));
    assert_eq!(cli.run(&["admin", "init"]).code, Some(2));
}

#[test]
fn versions_are_shown_also_without_a_daemon() {
    assert!(Cli::new().ok(&["version"]).contains("Server version: 9.9"));
    let ran = finish(plain_command(&["version"]).env("SC_DIR", "/nonexistent"));
    assert!(ran.stdout.contains("Server version: unreachable"), "{ran:?}");
}

#[test]
fn what_the_environment_asks_for_is_refused_where_it_is_not_there() {
    let cli = Cli::new();
    let ran = finish(cli.command(&["list"]).env("SC_PROJECT", "other"));
    assert!(ran.stderr.contains("only \"default\""), "{ran:?}");
    let ran = finish(cli.command(&["list"]).env("SC_REMOTE", "nope"));
    assert!(ran.stderr.contains("no remote \"nope\""), "{ran:?}");
}

#[test]
fn shells_complete_verbs_and_names() {
    let cli = Cli::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(cli.ok(&["completion", shell]).contains("SC_COMPLETE"), "{shell}");
    }
    let complete = |words: &[&str], index: &str| {
        let mut command = cli.command(&["--", "sc"]);
        command.args(words).env("SC_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index);
        command.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
        command.env("IFS", "\n");
        finish(&mut command).stdout
    };
    assert!(complete(&["la"], "1").contains("launch"));
    let names = complete(&["stop", "w"], "2");
    assert!(names.contains("web1") && !names.contains("db1"), "{names}");
}
