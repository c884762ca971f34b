//! Docker beside the daemon, which drops what is forwarded: guests keep DHCP, DNS, each other and the way
//! out, whichever was there first.

use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, Docker, Host, address, eventually, until};

/// How long it may take until the daemon has seen what others did to the rules.
const SEEN: Duration = Duration::from_secs(20);

fn with_guests() -> Daemon {
    let daemon = Busybox::daemon();
    for name in ["c1", "c2"] {
        daemon.sc(&["launch", BUSYBOX, name]).ok();
    }
    for name in ["c1", "c2"] {
        eventually("an address", Duration::from_secs(30), || address(&daemon, name, "inet"));
    }
    daemon
}

/// Tries what a guest needs; each try is repeated until the daemon must have seen everything.
#[track_caller]
fn have_their_network(host: &Host, daemon: &Daemon, when: &str) {
    let out = format!("nc -w 2 {} {}", Host::OUTSIDE, Host::PORT);
    let lines = [
        ("each other, by name", "ping -4 -c 1 -W 2 c2 >/dev/null && echo yes", "yes"),
        ("each other, by IPv6", "ping -6 -c 1 -W 2 c2 >/dev/null && echo yes", "yes"),
        ("the way out", &out, host.word()),
        (
            "DHCP",
            "udhcpc -i eth0 -n -q -t 2 -T 1 -s /etc/udhcpc >/dev/null 2>&1 && echo yes",
            "yes",
        ),
    ];
    for (what, line, wanted) in lines {
        until(&format!("{when}: {what}"), SEEN, &wanted.to_owned(), || {
            daemon.exec("c1", &["sh", "-c", line]).stdout.trim().to_owned()
        });
    }
}

/// The daemon's rules in the chain that drops.
fn rules(host: &Host) -> Vec<String> {
    host.chain("FORWARD").into_iter().filter(|rule| rule.contains("sc_scbr0")).collect()
}

fn drops(host: &Host) -> bool {
    host.chain("FORWARD")[0] == "-P FORWARD DROP"
}

#[test]
fn guests_have_their_network_where_docker_was_first_and_its_containers_stay_closed_to_them() {
    if !Docker::is_installed() {
        return;
    }
    Host::run(|host| {
        let docker = Docker::start(host);
        let daemon = with_guests();
        assert!(drops(host), "Docker's policy");
        have_their_network(host, &daemon, "after Docker");

        let image = Busybox::new();
        docker.ask(&["import", &image.root_tar().display().to_string(), "web"]);
        let server = ["web", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "container"];
        let run = ["run", "--detach", "--name", "web", "--publish", "8080:80"];
        docker.ask(&[&run[..], &server].concat());
        let inside = docker.ask(&["network", "inspect", "bridge", "-f", ADDRESSES]);
        let inside = inside.split('/').next().unwrap_or_default();
        let asks = |address: &str, port: &str| {
            daemon.exec("c1", &["nc", "-w", "2", address, port]).stdout.trim().to_owned()
        };
        until("a published port", SEEN, &"container".to_owned(), || asks("192.0.2.1", "8080"));
        assert_eq!(asks(inside, "80"), "", "a port that is not published");
        // Its first process takes no notice of being asked to end.
        docker.ask(&["rm", "--force", "web"]);
    });
}

const ADDRESSES: &str = "{{range .Containers}}{{.IPv4Address}}{{end}}";

#[test]
fn guests_have_their_network_where_docker_comes_later() {
    if !Docker::is_installed() {
        return;
    }
    Host::run(|host| {
        let daemon = with_guests();
        let _docker = Docker::start(host);
        have_their_network(host, &daemon, "before Docker");
        // Whether Docker sets the policy where others have turned forwarding on depends on its version.
        host.run_program("iptables", &["--policy", "FORWARD", "DROP"]);
        have_their_network(host, &daemon, "before Docker, which drops");
        assert_eq!(rules(host).len(), 2);
        host.run_program("iptables", &["--policy", "FORWARD", "ACCEPT"]);
        until("no rules where nothing needs them", SEEN, &Vec::new(), || rules(host));
    });
}

#[test]
fn guests_keep_their_network_when_docker_is_restarted_and_rules_are_flushed() {
    if !Docker::is_installed() {
        return;
    }
    Host::run(|host| {
        let mut docker = Docker::start(host);
        let mut daemon = with_guests();
        docker.restart();
        assert!(drops(host), "Docker's policy");
        have_their_network(host, &daemon, "Docker was restarted");
        host.run_program("iptables", &["--flush"]);
        have_their_network(host, &daemon, "its rules were flushed");
        host.run_program("nft", &["flush", "ruleset"]);
        docker.restart();
        host.run_program("iptables", &["--policy", "FORWARD", "DROP"]);
        have_their_network(host, &daemon, "all rules were flushed");
        daemon.kill9();
        docker.restart();
        daemon.run_again();
        have_their_network(host, &daemon, "the daemon was killed meanwhile");
        assert_eq!(rules(host).len(), 2, "never twice");

        daemon.sc(&["delete", "--force", "c1", "c2"]).ok();
        daemon.sc(&["profile", "device", "remove", "default", "eth0"]).ok();
        daemon.sc(&["network", "delete", "scbr0"]).ok();
        assert_eq!(rules(host), [""; 0], "the network's rules go with it");
    });
}
