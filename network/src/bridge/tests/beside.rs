//! Beside firewalls of others: rules that iptables has written, and what takes all rules away.

use std::net::UdpSocket;

use super::*;

/// Writes what `iptables --policy FORWARD` writes.
fn set_policy(policy: &str) {
    nft(&format!(
        "add table ip filter; add chain ip filter FORWARD {{ type filter hook forward priority filter; policy {policy}; }}"
    ));
}

fn nft(command: &str) {
    assert!(Command::new("nft").arg(command).status().unwrap().success(), "{command}");
}

/// What stands in the chain of others.
fn forward() -> Vec<String> {
    let list = ["list", "chain", "ip", "filter", "FORWARD"];
    let output = Command::new("nft").args(list).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains("counter"))
        .map(|line| line.trim().to_owned())
        .collect()
}

/// Waits until the kernel's rules are as they should be; others change them at any time.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: {}", rules());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_open() -> bool {
    let ways = ["iifname \"scbr0\"", "oifname \"scbr0\""];
    let rules = forward();
    let right = |(rule, way): (&String, &str)| rule.starts_with(way) && rule.contains("sc_scbr0");
    rules.len() == 2 && rules.iter().zip(ways).all(right)
}

/// Whether what is sent from inside a namespace arrives.
fn reaches(from: &Namespace, to: &'static str, socket: &UdpSocket) -> bool {
    from.run(async move {
        UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"hello", to).unwrap();
    });
    socket.recv_from(&mut [0; 9]).is_ok()
}

fn route(inside: &Namespace, gateway: &'static str) {
    let args = ["route", "add", "default", "via", gateway];
    let added = inside.run(async move { Command::new("ip").args(args).status().unwrap() });
    assert!(added.success());
}

fn listen(inside: &Namespace, address: &'static str) -> UdpSocket {
    let socket = inside.run(async move { UdpSocket::bind(address).unwrap() });
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

#[test]
fn a_policy_that_drops_what_is_forwarded_is_opened_for_guests_and_for_nobody_else() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let world = world(&context).await;
        set_policy("drop");
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        assert!(is_open(), "{}", rules());
        let web1 = Guest::attach(&network, &request("web1")).await;
        let web2 = Guest::attach(&network, &request("web2")).await;
        assert!(web1.dhcp().starts_with("10.77.5.2 ") && web2.dhcp().starts_with("10.77.5.3 "));
        let outside = listen(&world, "192.0.2.2:7777");
        assert!(reaches(&web1.netns, "192.0.2.2:7777", &outside), "the way out: {}", rules());
        let neighbour = listen(&web2.netns, "10.77.5.3:7777");
        assert!(reaches(&web1.netns, "10.77.5.3:7777", &neighbour), "each other: {}", rules());

        // As a Docker does whose network comes up.
        let container = behind_bridge(&context, "docker0", "198.51.100.").await;
        route(&container, "198.51.100.1");
        let port = listen(&container, "198.51.100.2:7777");
        assert!(
            reaches(&web1.netns, "198.51.100.2:7777", &port),
            "nobody says that it is Docker's"
        );
        nft("add chain ip filter DOCKER-ISOLATION-STAGE-1");
        nft(
            "add rule ip filter DOCKER-ISOLATION-STAGE-1 iifname docker0 oifname != docker0 return",
        );
        until("it is known", || rules().contains("oifname \"docker0\" ct state new")).await;
        assert!(!reaches(&web1.netns, "198.51.100.2:7777", &port), "a port that is not published");
        assert!(!reaches(&container, "192.0.2.2:7777", &outside), "the policy holds for others");
        network.stop().await.unwrap();
        assert_eq!(forward(), [""; 0]);
    });
}

#[test]
fn rules_among_those_of_others_come_and_go_with_what_needs_them() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        set_policy("drop");
        until("the policy has come", is_open).await;
        nft("flush chain ip filter FORWARD");
        until("the rules were flushed", is_open).await;
        nft("add rule ip filter FORWARD ip daddr 192.0.2.9 counter drop");
        let is_first = || forward().first().is_some_and(|rule| rule.contains("192.0.2.9"));
        until("what others refuse later comes first", || forward().len() == 3 && is_first()).await;
        nft("flush chain ip filter FORWARD");
        until("the rules were flushed again", is_open).await;
        set_policy("accept");
        until("nothing is dropped any more", || forward().is_empty()).await;
        set_policy("drop");
        until("the policy is back", is_open).await;
        nft("delete table ip filter");
        set_policy("drop");
        until("the table was made anew", is_open).await;

        // The daemon is killed, and the next one takes the network up.
        drop(network);
        let again = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        assert!(is_open(), "never twice: {}", rules());
        drop(again);
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert_eq!(forward(), [""; 0]);
    });
}

#[test]
fn a_table_that_others_flush_is_put_in_again() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        for flush in ["flush ruleset", "flush table inet sc_scbr0"] {
            nft(flush);
            until(flush, || rules().contains("masquerade")).await;
        }
        network.stop().await.unwrap();
        assert!(!rules().contains("sc_scbr0"));
    });
}

#[test]
fn a_table_that_could_not_be_put_in_again_is_put_in_without_another_change() {
    in_namespace(async {
        // The rules are not taken, or cannot be read.
        for fails in ["-f", "-j"] {
            let (folder, mut context) = (Folder::new(), context());
            let (script, broken) = (folder.0.path().join("nft"), folder.0.path().join("broken"));
            let text = format!(
                "#!/bin/sh\n[ $1 = {fails} ] && [ -e {0} ] && echo no >>{0} && exit 1\nexec nft \"$@\"\n",
                broken.display()
            );
            fs::write(&script, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&script, mode).unwrap();
            context.nft = script;
            let network = Network::start(config(&[]), &folder.path(), context).await.unwrap();
            fs::write(&broken, "").unwrap();
            nft("flush ruleset");
            until("two failures", || fs::read(&broken).unwrap().len() > 2 * "no\n".len()).await;
            fs::remove_file(&broken).unwrap();
            until(fails, || rules().contains("masquerade")).await;
            network.stop().await.unwrap();
        }
    });
}

#[test]
fn a_network_without_a_firewall_leaves_the_rules_of_others_alone() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        set_policy("drop");
        let config = config(&[("ipv4.firewall", "false")]);
        let network = Network::start(config, &folder.path(), context.clone()).await.unwrap();
        assert_eq!(forward(), [""; 0]);
        network.stop().await.unwrap();
    });
}
