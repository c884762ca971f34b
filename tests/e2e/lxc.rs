//! LXD's own client, as Debian has it, does everyday work at the daemon's socket.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, Ran, eventually, report, status};
use sha2::{Digest, Sha256};

fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let home = daemon.scratch().join("lxc");
    let mut command = Command::new("lxc");
    command.args(args).stdin(Stdio::null());
    command.env("LXD_DIR", daemon.dir()).env("LXD_CONF", &home).env("HOME", &home);
    command.env_remove("LXD_SOCKET").env_remove("LXD_PROJECT").env_remove("LXD_REMOTE");
    command
}

fn run(daemon: &Daemon, args: &[&str]) -> Ran {
    let begin = Instant::now();
    let output = command(daemon, args).output();
    let output = output.expect("lxc is started: it is in Debian's package lxd-client");
    Ran::new(format!("lxc {}", args.join(" ")), &output, begin.elapsed())
}

#[track_caller]
fn lxc(daemon: &Daemon, args: &[&str]) -> Ran {
    let ran = run(daemon, args);
    ran.ok();
    ran
}

#[test]
fn lxds_own_client_does_everyday_work() {
    let daemon = Daemon::start();
    images(&daemon);
    instance(&daemon);
    profiles(&daemon);
    lxc(&daemon, &["delete", "c1"]);
    assert_eq!(status(&daemon, "c1"), "-");
    lxc(&daemon, &["image", "delete", "own"]);
    assert_eq!(lxc(&daemon, &["image", "list", "-f", "csv"]).stdout, "");
    report("LXD's client", "lxc does everyday work at our socket");
}

fn images(daemon: &Daemon) {
    let busybox = Busybox::new();
    let tarball = busybox.unified().display().to_string();
    lxc(daemon, &["image", "import", &tarball, "--alias", "own"]);
    let list = lxc(daemon, &["image", "list", "-f", "csv"]);
    assert!(list.stdout.starts_with("own,"), "{list:?}");
    let info = lxc(daemon, &["image", "info", "own"]);
    assert!(info.stdout.contains("os: Busybox"), "{info:?}");
}

fn instance(daemon: &Daemon) {
    lxc(daemon, &["launch", "own", "c1"]);
    let list = lxc(daemon, &["list", "-f", "csv", "-c", "nst"]);
    assert_eq!(list.stdout, "c1,RUNNING,CONTAINER\n");
    let info = lxc(daemon, &["info", "c1"]);
    assert!(info.stdout.contains("Status: RUNNING"), "{info:?}");
    let info = lxc(daemon, &["info"]);
    assert!(info.stdout.contains("api_version: \"1.0\""), "{info:?}");

    let exec = ["exec", "c1", "--env", "A=b", "--", "sh", "-c", "echo $A; echo err >&2; exit 7"];
    let ran = run(daemon, &exec);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "b\n", "err\n"));

    lxc(daemon, &["config", "set", "c1", "limits.memory=64MiB", "user.owner=alice"]);
    assert_eq!(lxc(daemon, &["config", "get", "c1", "limits.memory"]).stdout, "64MiB\n");
    let shown = lxc(daemon, &["config", "show", "c1"]);
    assert!(shown.stdout.contains("user.owner: alice"), "{shown:?}");
    lxc(daemon, &["config", "unset", "c1", "user.owner"]);
    assert_eq!(lxc(daemon, &["config", "get", "c1", "user.owner"]).stdout, "\n");

    for (verb, then) in [("restart", "Running"), ("stop", "Stopped"), ("start", "Running")] {
        lxc(daemon, &[verb, "c1"]);
        assert_eq!(status(daemon, "c1"), then, "after {verb}");
    }
    lxc(daemon, &["stop", "--force", "c1"]);
}

fn profiles(daemon: &Daemon) {
    lxc(daemon, &["profile", "create", "small"]);
    lxc(daemon, &["profile", "set", "small", "limits.processes=100"]);
    let list = lxc(daemon, &["profile", "list", "-f", "csv"]);
    assert!(list.stdout.contains("small,"), "{list:?}");
    let shown = lxc(daemon, &["profile", "show", "small"]);
    assert!(shown.stdout.contains("limits.processes: \"100\""), "{shown:?}");
    lxc(daemon, &["profile", "add", "c1", "small"]);
    lxc(daemon, &["profile", "remove", "c1", "small"]);
    lxc(daemon, &["profile", "delete", "small"]);
    for object in ["network", "storage"] {
        let list = lxc(daemon, &[object, "list", "-f", "csv"]);
        assert!(!list.stdout.is_empty(), "{list:?}");
    }
}

#[test]
fn lxc_puts_instances_and_profiles_on_networks() {
    let daemon = Busybox::daemon();
    let uses = |place: [&str; 2], device: &str| {
        let [kind, name] = place;
        let ran = lxc(&daemon, &[kind, "device", "get", name, device, "network"]);
        assert_eq!(ran.stdout, "sctlxc\n", "{place:?}");
    };
    lxc(&daemon, &["network", "create", "sctlxc"]);
    lxc(&daemon, &["launch", BUSYBOX, "c1", "-n", "sctlxc"]);
    lxc(&daemon, &["init", BUSYBOX, "c2", "-n", "sctlxc"]);
    uses(["config", "c1"], "eth0");
    uses(["config", "c2"], "eth0");
    lxc(&daemon, &["network", "attach", "sctlxc", "c2", "nic1", "eth1"]);
    uses(["config", "c2"], "nic1");
    lxc(&daemon, &["network", "detach", "sctlxc", "c2", "nic1"]);
    lxc(&daemon, &["profile", "create", "p1"]);
    lxc(&daemon, &["network", "attach-profile", "sctlxc", "p1", "nic2", "eth2"]);
    uses(["profile", "p1"], "nic2");
    lxc(&daemon, &["profile", "add", "c2", "p1"]);
    lxc(&daemon, &["start", "c2"]);
    daemon.exec("c2", &["test", "-e", "/sys/class/net/eth2"]).ok();
    lxc(&daemon, &["stop", "--force", "c2"]);
    lxc(&daemon, &["network", "detach-profile", "sctlxc", "p1", "nic2"]);
    let unmanaged =
        ["profile", "device", "add", "p1", "nic3", "nic", "nictype=bridged", "parent=lo"];
    daemon.sc(&unmanaged).refused("nictype");
    lxc(&daemon, &["delete", "--force", "c1", "c2"]);
    lxc(&daemon, &["network", "delete", "sctlxc"]);
}

#[test]
fn what_lxc_runs_inside_loses_nothing_and_ends_with_it() {
    let daemon = Busybox::running();
    // More than every buffer takes, and nobody reads at first.
    let script = "head -c 30000000 /dev/zero; sha256sum";
    let mut reader = command(&daemon, &["exec", "-T", "c1", "--", "sh", "-c", script]);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = reader.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || stdin.write_all(&vec![b'x'; 10_000_000]).unwrap());
    let output = reader.wait_with_output().unwrap();
    feeding.join().unwrap();
    let sum: String =
        Sha256::digest(vec![b'x'; 10_000_000]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(output.status.success() && output.stdout.len() > 30_000_000);
    let told = String::from_utf8_lossy(&output.stdout[30_000_000..]);
    assert!(told.starts_with(&sum), "{told}");

    for (terminal, seconds) in [("-T", "1011"), ("-t", "1012")] {
        let mut client = command(&daemon, &["exec", terminal, "c1", "--", "sleep", seconds]);
        let mut client = client.stdout(Stdio::null()).spawn().unwrap();
        let runs = || {
            let line = format!("sleep {seconds}");
            daemon.inside("c1", "ps -o args").lines().any(|args| args == line)
        };
        eventually("the program runs", Duration::from_secs(20), || runs().then_some(()));
        client.kill().unwrap();
        client.wait().unwrap();
        eventually("the program ends", Duration::from_secs(20), || (!runs()).then_some(()));
    }
}
