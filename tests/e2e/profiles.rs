//! Profiles, and the instances that follow them.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, memory_is_in_cgroup2};

#[test]
fn profiles_are_laid_under_an_instance_in_their_order() {
    let daemon = Busybox::daemon();
    daemon.sc(&["profile", "create", "small"]).ok();
    daemon.sc(&["profile", "set", "small", "limits.processes=50", "user.size=small"]).ok();
    daemon.sc(&["profile", "create", "large"]).ok();
    daemon.sc(&["profile", "set", "large", "limits.processes=500"]).ok();
    daemon.sc(&["launch", BUSYBOX, "c1", "-p", "default", "-p", "small"]).ok();
    let expanded =
        |key: &str| daemon.sc(&["config", "get", "--expanded", "c1", key]).ok().to_owned();
    assert_eq!(
        (expanded("limits.processes").as_str(), expanded("user.size").as_str()),
        ("50", "small")
    );
    daemon.sc(&["profile", "add", "c1", "large"]).ok();
    assert_eq!(expanded("limits.processes"), "500", "the later profile wins");
    daemon.sc(&["profile", "set", "large", "limits.processes=600"]).ok();
    assert_eq!(expanded("limits.processes"), "600", "a change reaches its instances");
    daemon.sc(&["profile", "remove", "c1", "large"]).ok();
    assert_eq!(expanded("limits.processes"), "50");
    daemon.sc(&["profile", "delete", "small"]).refused("in use");
    daemon.sc(&["profile", "delete", "large"]).ok();
    daemon.sc(&["profile", "delete", "default"]).refused("cannot be deleted");
}

#[test]
fn without_profiles_there_is_no_network_and_no_root() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "c1", "--no-profiles"]).refused("root");
    daemon.sc(&["launch", BUSYBOX, "c1", "--no-profiles", "-s", "default"]).ok();
    assert_eq!(daemon.inside("c1", "ls /sys/class/net"), "lo");
}

#[test]
fn a_nic_that_comes_and_goes_with_a_profile_is_there_and_gone() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    let network = daemon.sc(&["network", "list", "-f", "csv"]).ok().to_owned();
    let network = network.split(',').next().unwrap().to_owned();
    let profile = daemon.sc(&["profile", "show", "default"]).ok().to_owned();
    let second =
        format!("devices:\n  eth1:\n    name: eth1\n    network: {network}\n    type: nic");
    daemon
        .sc_with_input(
            &["profile", "edit", "default"],
            profile.replace("devices:", &second).as_bytes(),
        )
        .ok();
    daemon.sc(&["start", "c1"]).ok();
    assert!(daemon.inside("c1", "ls /sys/class/net").contains("eth1"));
    assert!(daemon.sc(&["config", "show", "c1"]).ok().contains("volatile.eth1.hwaddr"));

    daemon.sc(&["stop", "c1", "--force"]).ok();
    daemon.sc_with_input(&["profile", "edit", "default"], profile.as_bytes()).ok();
    daemon.sc(&["start", "c1"]).ok();
    assert!(!daemon.inside("c1", "ls /sys/class/net").contains("eth1"));
    assert!(!daemon.sc(&["config", "show", "c1"]).ok().contains("volatile.eth1.hwaddr"));
}

#[test]
fn a_change_of_a_profile_that_a_guest_cannot_follow_changes_nothing() {
    let daemon = Busybox::daemon();
    daemon.sc(&["profile", "create", "q1"]).ok();
    daemon.sc(&["profile", "set", "q1", "limits.memory=100MiB", "limits.processes=90"]).ok();
    daemon.sc(&["launch", BUSYBOX, "c1", "-p", "default", "-p", "q1"]).ok();
    daemon.inside("c1", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=40 2>/dev/null");
    daemon.sc(&["profile", "set", "q1", "limits.cpu=900-901"]).refused("900");
    let shrunk = daemon.sc(&["profile", "set", "q1", "limits.memory=20MiB", "limits.processes=80"]);
    if shrunk.code == 0 {
        // With cgroup2 alone the kernel takes any limit and ends what is too large for it.
        assert!(memory_is_in_cgroup2(), "more is in use than the limit that was taken");
        let shown = daemon.sc(&["config", "show", "c1", "--expanded"]).ok().to_owned();
        assert!(shown.contains("20MiB") && shown.contains("\"80\""), "{shown}");
        return;
    }
    shrunk.refused("limits.memory");
    let shown = daemon.sc(&["profile", "show", "q1"]).ok().to_owned();
    assert!(shown.contains("100MiB") && shown.contains("\"90\""), "{shown}");
    assert!(!shown.contains("limits.cpu"), "{shown}");
    daemon.sc(&["restart", "--force", "c1"]).ok();
}

#[test]
fn a_patch_of_a_profile_changes_what_it_names_and_nothing_else() {
    let daemon = Daemon::start();
    daemon.sc(&["profile", "create", "p1", "user.a=1", "--description", "words"]).ok();
    let patched = |body: &str| {
        daemon.sc(&["query", "-X", "PATCH", "-d", body, "/1.0/profiles/p1"]).ok();
        daemon.json(&["query", "/1.0/profiles/p1"])
    };
    let kept = patched(r#"{"config":{"user.b":"2"}}"#);
    assert_eq!((&kept["description"], &kept["config"]["user.a"]), (&"words".into(), &"1".into()));
    assert_eq!(patched(r#"{"description":""}"#)["description"], "");
}
