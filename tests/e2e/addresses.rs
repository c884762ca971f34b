//! The addresses that an instance holds on its network, whatever fails meanwhile.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, left_nothing, warmed};

use crate::disks::Movable;

/// The network of the default profile.
#[track_caller]
fn network(daemon: &Daemon) -> String {
    daemon.sc(&["profile", "device", "get", "default", "eth0", "network"]).ok().to_owned()
}

/// What each instance holds there.
#[track_caller]
fn leases(daemon: &Daemon) -> String {
    daemon.sc(&["network", "list-leases", &network(daemon), "-f", "csv"]).ok().to_owned()
}

/// An address on that network that nobody has.
#[track_caller]
fn another_address(daemon: &Daemon) -> String {
    let leases = leases(daemon);
    let gateway = leases.split(',').find(|field| field.ends_with(".1")).expect("a gateway");
    format!("{}.77", gateway.trim_end_matches(".1"))
}

#[test]
fn an_instance_that_is_changed_keeps_its_address_from_others() {
    let daemon = Busybox::running();
    let before = leases(&daemon);
    assert!(before.contains("c1,"), "{before}");
    daemon.sc(&["config", "set", "c1", "user.a=1"]).ok();
    assert_eq!(leases(&daemon), before);
    daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
    let of_c1 = |leases: &str| leases.lines().filter(|line| line.starts_with("c1,")).count();
    assert_eq!(of_c1(&leases(&daemon)), of_c1(&before));
}

#[test]
fn an_instance_whose_deletion_is_taken_back_keeps_its_address() {
    let mut daemon = Busybox::daemon();
    let pool = Movable::with_pool(&daemon, "dir");
    daemon.sc(&["init", BUSYBOX, "c1", "-s", "other"]).ok();
    let before = leases(&daemon);
    assert!(before.contains("c1,"), "{before}");
    daemon.end();
    pool.lose();
    daemon.run_into("fail@delete:removed");
    daemon.sc(&["delete", "c1"]).refused("injected failure");
    assert_eq!(leases(&daemon), before);
    daemon.end();
    pool.find();
    daemon.run_again();
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(leases(&daemon), before);
    daemon.sc(&["delete", "--force", "c1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "other"]).ok();
}

#[test]
fn what_is_left_of_a_run_keeps_its_address_until_it_is_cleared_up() {
    let (mut daemon, before) = warmed();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let (held, other) = (leases(&daemon), another_address(&daemon));
    daemon.end();
    daemon.run_into("fail@clear-up:links");
    daemon.sc(&["stop", "--force", "c1"]).ok();
    daemon.sc(&["start", "c1"]).refused("clear up what the last run has left");
    let address = format!("ipv4.address={other}");
    let gateway = format!("ipv4.address={}.1", other.trim_end_matches(".77"));
    let change = |address| daemon.sc(&["config", "device", "override", "c1", "eth0", address]);
    change(&gateway).refused("the network itself has it");
    change(&address).ok();
    let network = format!("network={}", network(&daemon));
    daemon.sc(&["config", "device", "add", "c1", "eth1", "nic", &network]).ok();
    daemon.sc(&["profile", "set", "default", "user.a=1"]).ok();
    assert_eq!(leases(&daemon), held);
    daemon.restart();
    assert!(leases(&daemon).contains(&other), "{}", leases(&daemon));
    daemon.sc(&["start", "c1"]).ok();
    // A guest has all its NICs: the change concerns none.
    daemon.sc(&["profile", "set", "default", "user.a=2"]).ok();
    daemon.sc(&["delete", "--force", "c1"]).ok();
    daemon.sc(&["profile", "unset", "default", "user.a"]).ok();
    left_nothing(&daemon, "an address that was changed", &before);
}

#[test]
fn a_hardware_address_that_was_given_goes_when_it_is_taken_away() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    let made = daemon.sc(&["config", "get", "c1", "volatile.eth0.hwaddr"]).ok().to_owned();
    assert!(leases(&daemon).contains(&made), "{made}");
    let given = "00:16:3e:11:22:33";
    let set = |value: &str| {
        let hwaddr = format!("hwaddr={value}");
        daemon.sc(&["config", "device", "set", "c1", "eth0", &hwaddr]).ok();
    };
    daemon.sc(&["config", "device", "override", "c1", "eth0"]).ok();
    set(given);
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "cat /sys/class/net/eth0/address"), given);
    daemon.sc(&["stop", "--force", "c1"]).ok();
    set("");
    assert!(leases(&daemon).contains(&made), "{}", leases(&daemon));
    assert!(!leases(&daemon).contains(given), "{}", leases(&daemon));
}
