//! Guests are kept from the host and from each other, and leave nothing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, HostSnapshot, Options, address, eventually, namespace_owner, pid, until};

#[test]
fn two_instances_have_ranges_of_their_own_and_ping_each_other_by_name() {
    let daemon = Busybox::running();
    daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
    let range = |name: &str| {
        let map = daemon.inside(name, "cat /proc/self/uid_map");
        let words: Vec<u32> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!((words[0], words[2]), (0, 65_536), "{map}");
        assert_eq!(namespace_owner(pid(&daemon, name)), words[1], "its user namespace is its own");
        words[1]
    };
    let (first, second) = (range("c1"), range("c2"));
    assert!(first.abs_diff(second) >= 65_536, "{first} and {second} do not overlap");
    for (from, to) in [("c1", "c2"), ("c2", "c1")] {
        let there =
            eventually("an address", Duration::from_secs(30), || address(&daemon, to, "inet"));
        // Who asks needs an address and a server for names, too.
        let seen = eventually("it is found by its name", Duration::from_secs(30), || {
            let ran = daemon.exec(from, &["ping", "-4", "-c", "1", "-W", "5", to]);
            (ran.code == 0).then_some(ran.stdout)
        });
        assert!(seen.contains(&there), "{to} is {there}: {seen}");
    }
}

#[test]
fn guests_of_two_daemons_have_ranges_of_their_own() {
    let daemons = [Daemon::start(), Daemon::start()];
    let maps = daemons.each_ref().map(|daemon| {
        Busybox::import(daemon);
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        daemon.inside("c1", "cat /proc/self/uid_map")
    });
    assert_ne!(maps[0], maps[1]);
}

#[test]
fn instances_of_one_image_have_identities_of_their_own() {
    let daemon = Busybox::daemon();
    let identity = |name: &str| {
        daemon.sc(&["launch", BUSYBOX, name]).ok();
        let text = daemon.inside(name, "hostname; cat /sys/class/net/eth0/address");
        assert!(text.starts_with(&format!("{name}\n")), "{text}");
        text
    };
    assert_ne!(identity("c1"), identity("c2"));
}

/// Runs a line of shell as a user of the host without any right.
fn as_nobody(line: &str) -> bool {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", line]);
    command.output().expect("setpriv of util-linux is there").status.success()
}

#[test]
fn an_ordinary_user_of_the_host_can_enter_none_of_the_pools_folders() {
    let daemon = Busybox::running();
    let mut folders = Vec::new();
    let pools = daemon.dir().join("storage-pools");
    folders_below(&pools, 4, &mut folders);
    assert!(folders.len() > 3, "the pool has folders: {folders:?}");
    for folder in folders {
        assert!(!as_nobody(&format!("cd '{folder}'")), "anyone can enter {folder}");
    }
    let scratch = daemon.scratch().display();
    assert!(as_nobody(&format!("cd {scratch}")), "what is above the state is open");
    assert!(!as_nobody(&format!("ls {scratch}/d")), "but nobody can list the state");
}

fn folders_below(folder: &Path, depth: u32, found: &mut Vec<String>) {
    found.push(folder.display().to_string());
    if depth == 0 {
        return;
    }
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders_below(&entry.path(), depth - 1, found);
        }
    }
}

#[test]
fn a_user_outside_the_group_is_told_what_lets_him_in() {
    let args = vec!["--group".into(), "daemon".into()];
    let daemon = Daemon::start_with(Options { args, ..Options::default() });
    let mut command = daemon.command(&["list"]);
    // A copy where anyone can execute it, whatever the folder of the build allows.
    let copy = daemon.scratch().join("sc");
    std::fs::copy(command.get_program(), &copy).unwrap();
    command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy).arg("list");
    let output = command.env("SC_DIR", daemon.dir()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.contains("`sudo usermod -aG daemon nobody`"), "{text}");
}

#[test]
fn the_state_and_the_socket_are_roots_own() {
    let daemon = Daemon::start();
    let mode = |name: &str| std::fs::metadata(daemon.dir().join(name)).unwrap().mode() & 0o777;
    // Until then its mode lets root alone connect, too.
    until("closed without --group", Duration::from_secs(10), &0o600, || mode("unix.socket"));
    assert_eq!(mode("database/store.db") & 0o077, 0, "the store is nobody else's");
    for private in ["images", "storage-pools", "logs", "run"] {
        assert_eq!(mode(private), 0o700, "{private}");
    }
    assert_eq!(mode("networks"), 0o711, "dnsmasq, which is nobody, comes to its files");
}

#[test]
fn launch_and_delete_of_twenty_leave_nothing() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "first"]).ok();
    daemon.sc(&["delete", "--force", "first"]).ok();
    let trash = daemon.dir().join("storage-pools/default/trash");
    until("the trash is empty", Duration::from_secs(30), &0, || {
        std::fs::read_dir(&trash).map_or(0, Iterator::count)
    });
    let before = HostSnapshot::of(&daemon.dir());
    let names: Vec<String> = (1..=20).map(|number| format!("c{number}")).collect();
    for name in &names {
        daemon.sc(&["launch", BUSYBOX, name]).ok();
    }
    let during = HostSnapshot::of(&daemon.dir()).more_than(&before);
    for kind in ["link", "cgroup", "process", "id range", "file"] {
        let count = during.iter().filter(|line| line.starts_with(kind)).count();
        assert!(count >= 20, "twenty guests have {count} lines of {kind}");
    }
    let delete: Vec<&str> =
        ["delete", "--force"].into_iter().chain(names.iter().map(String::as_str)).collect();
    daemon.sc(&delete).ok();
    until("twenty leave nothing", Duration::from_secs(60), &Vec::new(), || {
        HostSnapshot::of(&daemon.dir()).more_than(&before)
    });
}

#[test]
fn a_guest_sees_the_devices_and_capabilities_of_a_guest() {
    let daemon = Busybox::running();
    assert_eq!(daemon.exec("c1", &["mknod", "/tmp/sda", "b", "8", "0"]).code, 1, "no block device");
    let dev = daemon.inside("c1", "ls /dev");
    for name in ["null", "zero", "full", "random", "urandom", "tty", "console", "pts", "ptmx"] {
        assert!(dev.lines().any(|line| line == name), "/dev/{name} is missing: {dev}");
    }
    assert!(!dev.contains("kmsg") && !dev.contains("vda"), "{dev}");
    let writable = daemon.exec("c1", &["sh", "-c", "echo 1 >/proc/sys/kernel/panic"]);
    assert_ne!(writable.code, 0, "the host's settings are not the guest's");
}
