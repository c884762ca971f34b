//! Bad input: each gets one clear sentence that names it, and nothing is left behind.

use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Begun, Daemon, HostSnapshot, address, eventually};
use serde_json::json;

#[test]
fn bad_names_are_refused() {
    let daemon = Busybox::daemon();
    let long = "x".repeat(64);
    for name in ["-leading", "trailing-", "under_score", "1digit", "a.b", "ä", &long, "a/b", ".."]
    {
        daemon.sc(&["init", BUSYBOX, "--", name]).refused("Invalid instance name: Name ");
    }
    for name in ["", "a/b", "..", "-x y"] {
        let refused = daemon.sc(&["profile", "create", "--", name]);
        assert_ne!(refused.code, 0, "profile {name:?}");
    }
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
}

#[test]
fn a_name_that_is_another_hosts_in_dns_is_refused() {
    let daemon = Busybox::daemon();
    for name in ["localhost", "LocalHost"] {
        daemon.sc(&["init", BUSYBOX, name]).refused("every host calls itself");
    }
    daemon.sc(&["init", BUSYBOX, "a1"]).ok();
    daemon.sc(&["init", BUSYBOX, "A1"]).refused("\"a1\" already exists");
    let both = ["b1", "B1"].map(|name| daemon.begin(&["init", BUSYBOX, name]));
    let made = both.into_iter().map(Begun::ended).filter(|ran| ran.code == 0);
    assert_eq!(made.count(), 1);
}

#[test]
fn a_key_with_a_control_character_is_refused() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    for path in ["instances/c1", "profiles/default"] {
        let key = r#"{"config":{"user.\n":"1"}}"#;
        let path = format!("/1.0/{path}");
        daemon.sc(&["query", "-X", "PATCH", "-d", key, &path]).refused("control characters");
    }
    let network = r#"{"name":"sctkey","config":{"user.\n":"1"}}"#;
    daemon
        .sc(&["query", "-X", "POST", "-d", network, "/1.0/networks"])
        .refused("control characters");
}

#[test]
fn a_mistyped_key_of_a_network_is_asked_about() {
    let daemon = Daemon::start();
    let slip = ["network", "create", "sctslip", "ipv4.adress=10.0.0.1/24"];
    daemon.sc(&slip).refused("(did you mean \"ipv4.address\"?)");
    daemon.sc(&["network", "create", "sctslip", "no.key=1"]).refused("network create --help");
    daemon.sc(&["network", "show", "sctslip"]).refused("not found");
}

#[test]
fn what_is_not_there_is_named() {
    let daemon = Daemon::start();
    daemon.sc(&["launch", "12", "c1"]).refused("(did you mean \"debian:12\"?)");
    daemon.sc(&["launch", "no-such-image", "c1"]).refused("no-such-image");
    daemon.sc(&["launch", "debian:99", "c1"]).refused("99");
    daemon.sc(&["launch", "nowhere:12", "c1"]).refused("nowhere");
    for verb in ["start", "stop", "restart", "delete"] {
        daemon.sc(&[verb, "c1"]).refused("not found");
    }
    daemon.sc(&["exec", "c1", "--", "true"]).refused("not found");
    daemon.sc(&["info", "c1"]).refused("not found");
    daemon.sc(&["config", "show", "c1"]).refused("not found");
    daemon.sc(&["profile", "show", "p1"]).refused("not found");
    daemon.sc(&["network", "show", "nonet0"]).refused("not found");
    daemon.sc(&["storage", "show", "nopool"]).refused("not found");
    daemon.sc(&["image", "info", "noimage"]).refused("not found");
}

#[test]
fn a_device_that_names_what_is_not_there_is_refused() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    let network = "Device validation failed for \"eth1\": Network \"nowhere\" not found: see sc network \
                   list, or make it with sc network create nowhere";
    let nic = ["eth1", "nic", "network=nowhere"];
    for whose in [["profile", "device", "add", "default"], ["config", "device", "add", "c1"]] {
        daemon.sc(&[&whose[..], &nic].concat()).refused(network);
    }
    let pool = "Device validation failed for \"root\": Storage pool \"nopool\" not found: see sc \
                storage list, or make it with sc storage create nopool DRIVER";
    daemon.sc(&["init", BUSYBOX, "c2", "-s", "nopool"]).refused(pool);
    for (devices, refusal) in [
        ("{root: {type: disk, path: /, pool: nopool}}", pool),
        ("{eth1: {type: nic, network: nowhere}}", network),
    ] {
        let profile = format!("devices: {devices}");
        daemon.sc_with_input(&["profile", "create", "p1"], profile.as_bytes()).refused(refusal);
        let preseed = format!("profiles: [{{name: p1, devices: {devices}}}]");
        let preseeding = ["admin", "init", "--preseed"];
        daemon.sc_with_input(&preseeding, preseed.as_bytes()).refused(refusal);
    }
    daemon.sc(&["profile", "show", "p1"]).refused("not found");
    // What a profile names is there, and stays.
    daemon.sc(&["network", "create", "scnowhere"]).ok();
    daemon.sc(&["profile", "device", "add", "default", "eth1", "nic", "network=scnowhere"]).ok();
    daemon.sc(&["network", "delete", "scnowhere"]).refused("in use");
    daemon.sc(&["profile", "device", "remove", "default", "eth1"]).ok();
    daemon.sc(&["network", "delete", "scnowhere"]).ok();
}

#[test]
fn a_bridge_deleted_by_hand_is_told_and_made_again_with_its_guests() {
    let mut daemon = Busybox::daemon();
    // A name that no other test's daemon takes while it is free.
    let bridge = "sctbyhand";
    daemon.sc(&["network", "create", bridge]).ok();
    daemon.sc(&["launch", BUSYBOX, "c1", "--network", bridge]).ok();
    eventually("an address", Duration::from_secs(20), || address(&daemon, "c1", "inet"));
    let is = |daemon: &Daemon, status: &str| {
        let list = daemon.sc(&["network", "list", "-f", "csv"]).ok().to_owned();
        let line = list.lines().find(|line| line.starts_with(bridge)).unwrap();
        assert!(line.ends_with(status), "{line}");
    };
    let delete = || {
        let mut ip = std::process::Command::new("ip");
        assert!(ip.args(["link", "delete", bridge]).status().unwrap().success());
    };
    delete();
    is(&daemon, "UNAVAILABLE");
    daemon.sc(&["network", "info", bridge]).refused("makes it anew");
    daemon.sc(&["launch", BUSYBOX, "c2", "--network", bridge]).ok();
    eventually("an address", Duration::from_secs(20), || address(&daemon, "c2", "inet"));
    let ping = |daemon: &Daemon, from, to| {
        daemon.exec(from, &["ping", "-c", "1", "-W", "10", to]).ok();
    };
    ping(&daemon, "c1", "c2");
    ping(&daemon, "c2", "c1");
    is(&daemon, "CREATED");
    daemon.end();
    delete();
    daemon.run_again();
    ping(&daemon, "c1", "c2");
}

#[test]
fn an_alias_that_is_taken_is_refused_before_an_image_is_built() {
    let daemon = Busybox::daemon();
    daemon.sc(&["image", "copy", "debian:12", "--alias", BUSYBOX]).refused("already exists");
    let copy = ["image", "copy", "debian:12", "--alias", "new", "--alias", "new"];
    daemon.sc(&copy).refused("\"new\" is asked for twice");
    assert_eq!(daemon.sc(&["image", "list", "-f", "csv"]).ok().lines().count(), 1);
}

#[test]
fn what_is_not_built_of_instances_is_refused_by_name_and_lists_of_it_are_empty() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    for (path, part) in [
        ("snapshots", "snapshots are not supported"),
        ("backups", "backups and exports of instances are not supported"),
        ("files?path=/x", "files is not supported"),
    ] {
        let path = format!("/1.0/instances/c1/{path}");
        daemon.sc(&["query", "-X", "POST", "-d", "{}", &path]).refused(part);
    }
    for (list, one) in [("snapshots", "s0"), ("backups", "b0")] {
        assert_eq!(daemon.json(&["query", &format!("/1.0/instances/c1/{list}")]), json!([]));
        daemon.sc(&["query", &format!("/1.0/instances/c1/{list}/{one}")]).refused("not found");
        daemon.sc(&["query", &format!("/1.0/instances/c2/{list}")]).refused("\"c2\" not found");
    }
    let copy = r#"{"name":"c2","source":{"type":"copy","source":"c1"}}"#;
    daemon.sc(&["query", "-X", "POST", "-d", copy, "/1.0/instances"]).refused("\"copy\"");
}

#[test]
fn a_user_that_the_instance_cannot_have_is_told_the_range() {
    let daemon = Busybox::running();
    for field in ["user", "group"] {
        let flag = format!("--{field}");
        let refused = daemon.sc(&["exec", "c1", &flag, "65536", "--", "id"]);
        refused
            .refused(&format!("field \"{field}\": 65536 is no id in the instance: use 0 to 65535"));
        assert_eq!(daemon.sc(&["exec", "c1", &flag, "65535", "--", "true"]).code, 0);
    }
}

#[test]
fn bad_sizes_keys_and_values_are_refused_by_name() {
    let daemon = Busybox::daemon();
    let before = HostSnapshot::of(&daemon.dir());
    for (setting, part) in [
        ("limits.memory=12XB", "limits.memory"),
        ("limits.memory=-1", "limits.memory"),
        ("limits.cpu=none", "limits.cpu"),
        ("limits.processes=many", "limits.processes"),
        ("boot.autostart=perhaps", "boot.autostart"),
        ("no.such.key=1", "no.such.key"),
        ("security.privileged=true", "security.privileged"),
        ("security.nesting=true", "security.nesting"),
        ("raw.lxc=x", "raw.lxc"),
        ("cloud-init.user-data=x", "cloud-init.user-data"),
    ] {
        daemon.sc(&["init", BUSYBOX, "c1", "-c", setting]).refused(part);
    }
    for (device, part) in [
        ("d1,type=gpu", "gpu"),
        ("d1,type=teapot", "teapot"),
        ("eth0,type=nic,network=nonet0", "nonet0"),
        ("d1,type=disk,path=/x,source=/no/such/folder", "/no/such/folder"),
        ("d1,type=disk,path=/x,source=/etc,bogus=1", "bogus"),
        ("d1,type=nic,nictype=macvlan,parent=eth0", "nictype"),
    ] {
        let refused = daemon.sc(&["launch", BUSYBOX, "c1", "-d", device]);
        refused.refused(part);
        daemon.sc(&["delete", "--force", "c1"]);
    }
    for keys in ["limits.cpu=4096-5000", "limits.cpu=0,8000"] {
        daemon.sc(&["init", BUSYBOX, "c1", "-c", keys]).refused("limits.cpu");
    }
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
    let left = HostSnapshot::of(&daemon.dir()).more_than(&before);
    let left: Vec<_> = left.into_iter().filter(|line| !line.contains("/layers/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn bad_yaml_is_refused() {
    let daemon = Daemon::start();
    daemon.sc_with_input(&["profile", "edit", "default"], b"config: [oh").refused("yaml");
    daemon.sc_with_input(&["profile", "edit", "default"], b"config: {a.b: 1}").refused("a.b");
    daemon.sc(&["query", "-X", "POST", "-d", "{oops", "/1.0/instances"]).refused("json");
}

#[test]
fn an_image_for_another_processor_is_refused() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    image.write_metadata("s390x");
    let path = image.unified().display().to_string();
    let imported = daemon.sc(&["image", "import", &path, "--alias", "other"]);
    if imported.code == 0 {
        daemon.sc(&["launch", "other", "c1"]).refused("s390x");
    } else {
        imported.refused("s390x");
    }
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
}

#[test]
fn a_file_that_is_no_image_is_refused() {
    let daemon = Daemon::start();
    let path = daemon.scratch().join("junk");
    let cut = &[0x1f, 0x8b, 8, 0, 1, 2, 3][..];
    for (junk, why) in
        [(&b""[..], "file is empty"), (b"hello", "format is not known"), (cut, "is cut off")]
    {
        std::fs::write(&path, junk).unwrap();
        daemon.sc(&["image", "import", &path.display().to_string()]).refused(why);
    }
    daemon.sc(&["image", "import", "/no/such/file"]).refused("/no/such/file");
    assert_eq!(daemon.sc(&["image", "list", "-f", "csv"]).ok(), "");
}

#[test]
fn an_init_that_is_missing_is_told_and_leaves_nothing_running() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    for init in ["sbin/init", "bin/init"] {
        std::fs::remove_file(image.root().join(init)).unwrap();
    }
    image.import_as(&daemon, "headless");
    daemon.sc(&["launch", "headless", "c1"]).refused("/sbin/init");
    nothing_runs(&daemon);
}

#[test]
fn an_init_that_cannot_be_executed_is_told() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    let init = image.root().join("sbin/init");
    std::fs::remove_file(&init).unwrap();
    std::fs::write(&init, "not a program").unwrap();
    image.import_as(&daemon, "broken");
    daemon.sc(&["launch", "broken", "c1"]).refused("/sbin/init");
    nothing_runs(&daemon);
}

#[test]
fn an_init_that_dies_at_once_is_told() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    let init = image.root().join("sbin/init");
    std::fs::remove_file(&init).unwrap();
    std::fs::write(&init, "#!/bin/sh\necho no disk; exit 3\n").unwrap();
    std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    image.import_as(&daemon, "short-lived");
    let refused = daemon.sc(&["launch", "short-lived", "c1"]);
    refused.refused("init");
    assert!(refused.stderr.contains("no disk"), "its last words: {refused:?}");
    nothing_runs(&daemon);
}

fn nothing_runs(daemon: &Daemon) {
    let list = daemon.sc(&["list", "-c", "ns", "-f", "csv"]);
    assert!(matches!(list.ok(), "" | "c1,STOPPED"), "{list:?}");
    let snapshot = HostSnapshot::of(&daemon.dir());
    let agents: Vec<_> =
        snapshot.of_kind("process").into_iter().filter(|line| line.contains("sc-agent")).collect();
    assert_eq!(agents, Vec::<&str>::new());
    assert_eq!(snapshot.of_kind("id range"), Vec::<&str>::new());
    daemon.sc(&["delete", "--force", "c1"]);
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
}

#[test]
fn what_the_state_excludes_is_refused() {
    let daemon = Busybox::running();
    daemon.sc(&["launch", BUSYBOX, "c1"]).refused("Instance \"c1\" already exists: choose another");
    daemon.sc(&["start", "c1"]).refused("already running");
    daemon.sc(&["delete", "c1"]).refused("running");
    daemon.sc(&["stop", "--force", "c1"]).ok();
    daemon.sc(&["stop", "c1"]).refused("already stopped");
    daemon.sc(&["exec", "c1", "--", "true"]).refused("not running");
}
