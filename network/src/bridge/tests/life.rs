//! A network's life: brought up, taken up again, changed, taken away.

use super::*;

#[test]
fn a_network_is_taken_up_again_with_the_same_dnsmasq() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let first = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let web1 = Guest::attach(&first, &request("web1")).await;
        let (pid, bridge) = (folder.pid(), context.links.get("scbr0").await.unwrap().unwrap());
        let held = vec![web1.held.clone()];
        drop(first);

        // Without its pid file too.
        fs::remove_file(folder.path().join("dnsmasq.pid")).unwrap();
        let again = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        again.take_over(held, &[web1.port()]).await.unwrap();
        fs::write(folder.path().join("dnsmasq.pid"), pid.unwrap().to_string()).unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap().unwrap().index, bridge.index);
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        assert!(web1.look_up("web1", Some("10.77.5.2")).contains("10.77.5.2"));
        again.stop().await.unwrap();
    });
}

#[test]
fn a_dnsmasq_that_dies_is_started_again() {
    in_namespace(async {
        let folder = Folder::new();
        let placed = Arc::new(Mutex::new(Vec::new()));
        let mut context = context();
        let seen = Arc::clone(&placed);
        context.place = Some(Arc::new(move |pid| {
            seen.lock().unwrap().push(pid);
            Ok(())
        }));
        let network = Network::start(config(&[]), &folder.path(), context).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        kill(folder.pid().unwrap());
        let until = Instant::now() + Duration::from_secs(10);
        while placed.lock().unwrap().len() < 2 {
            assert!(Instant::now() < until, "it is not started again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        network.stop().await.unwrap();
    });
}

#[test]
fn leases_of_hundreds_who_are_gone_are_taken_back_and_those_of_others_stay() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let leases = folder.path().join("dnsmasq.leases");
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        kill(folder.pid().unwrap());
        drop(network);
        let line = |mac: Mac, host| format!("4000000000 {mac} 10.77.5.{host} * *\n");
        let strays: String = (2..250).map(|host| line(Mac::random(), host)).collect();
        let other = line(Mac([2, 0, 0, 0, 0, 7]), 250);
        fs::write(&leases, strays + &other).unwrap();

        let again = Network::start(config(&[]), &folder.path(), context).await.unwrap();
        again.take_over(Vec::new(), &[]).await.unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let left = || fs::read_to_string(&leases).unwrap();
        while !(left().contains(&other) && left().matches(" 10.77.5.").count() == 1) {
            assert!(Instant::now() < until, "{}", left());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        again.stop().await.unwrap();
    });
}

#[test]
fn a_lease_that_comes_after_its_holder_has_gone_is_taken_back() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let leases = folder.path().join("dnsmasq.leases");
        let network = Network::start(config(&[]), &folder.path(), context).await.unwrap();
        for instance in ["web1", "web2"] {
            let held = network.reserve(&request(instance)).unwrap();
            network.release(instance, "eth0").await.unwrap();
            // dnsmasq reads it when it is started anew.
            let line = format!("4000000000 {} {} * *\n", held.mac, held.ipv4.unwrap());
            fs::write(&leases, &line).unwrap();
            kill(folder.pid().unwrap());
            let until = Instant::now() + Duration::from_secs(20);
            while fs::read_to_string(&leases).unwrap().contains(&line) {
                assert!(Instant::now() < until, "{line}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        network.stop().await.unwrap();
    });
}

#[test]
fn the_name_of_a_bridge_is_free_for_others_when_its_table_is_gone() {
    in_namespace(async {
        let (folder, mut context) = (Folder::new(), context());
        let (nft, seen) = (folder.0.path().join("nft"), folder.0.path().join("seen"));
        let script = format!(
            "#!/bin/sh\nip -o link show scbr0 >>{} 2>&1\nexec nft \"$@\"\n",
            seen.display()
        );
        fs::write(&nft, script).unwrap();
        fs::set_permissions(&nft, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        context.nft = nft;
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        fs::remove_file(&seen).unwrap();
        network.stop().await.unwrap();
        let seen = fs::read_to_string(&seen).unwrap();
        assert!(seen.contains("scbr0") && !seen.contains("does not exist"), "{seen}");
    });
}

#[test]
fn a_bridge_deleted_by_hand_keeps_nobody_from_leaving_and_is_made_again_for_the_next() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        context.links.delete("scbr0").await.unwrap();
        assert!(!network.has_bridge().await.unwrap());
        let error = network.state().await.unwrap_err();
        assert!(error.to_string().contains("makes it anew"), "{error}");
        web1.leave(&network).await;
        let leases = fs::read_to_string(folder.path().join("dnsmasq.leases")).unwrap();
        assert!(!leases.contains("10.77.5.2"), "{leases}");

        let web2 = Guest::attach(&network, &request("web2")).await;
        assert!(network.has_bridge().await.unwrap());
        assert!(web2.dhcp().starts_with("10.77.5.2 "));
        assert!(web2.look_up("web2", Some("10.77.5.2")).contains("10.77.5.2"));
        web2.leave(&network).await;
        network.stop().await.unwrap();
        let gone = network.restore().await.unwrap_err();
        assert!(matches!(gone, NetworkError::BridgeMissing { .. }), "{gone}");
    });
}

#[test]
fn guests_of_a_bridge_deleted_by_hand_are_plugged_into_the_new_one() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let moved = Guest::attach(&network, &request("moved")).await;
        context.links.delete("scbr0").await.unwrap();
        context.links.create_bridge("others", Mac::random(), 1500).await.unwrap();
        let others = context.links.get("others").await.unwrap().unwrap().index;
        let index = context.links.get(&moved.host_name).await.unwrap().unwrap().index;
        context.links.plug(index, &moved.host_name, others).await.unwrap();

        let web2 = Guest::attach(&network, &request("web2")).await;
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        assert!(web2.dhcp().starts_with("10.77.5.4 "));
        assert!(web2.look_up("web1", Some("10.77.5.2")).contains("10.77.5.2"));
        let moved = context.links.get(&moved.host_name).await.unwrap().unwrap();
        assert_eq!(moved.controller, Some(others), "whoever plugged it in there wants it there");
        network.stop().await.unwrap();
    });
}

#[test]
fn a_bridge_deleted_while_nobody_was_there_is_made_again_and_serves() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let first = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let web1 = Guest::attach(&first, &request("web1")).await;
        let web2 = Guest::attach(&first, &request("web2")).await;
        drop(first);
        context.links.delete("scbr0").await.unwrap();
        let network = Network::start(config(&[]), &folder.path(), context).await.unwrap();
        let held = vec![web1.held.clone(), web2.held.clone()];
        network.take_over(held, &[web1.port()]).await.unwrap();
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        assert!(web1.look_up("web1", Some("10.77.5.2")).contains("10.77.5.2"));
        let answer = web1.look_up("web2", None);
        assert!(!answer.contains("10.77.5.3"), "it does not run: {answer}");
        network.stop().await.unwrap();
    });
}

#[test]
fn what_is_not_ours_is_left_alone() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let others = Folder::new();
        let other = Network::start(config(&[]), &others.path(), context.clone()).await.unwrap();
        let error =
            Network::start(config(&[]), &folder.path(), context.clone()).await.err().unwrap();
        assert!(matches!(error, NetworkError::ForeignLink { .. }), "{error}");
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert!(context.links.get("scbr0").await.unwrap().is_some());
        assert!(rules().contains("sc_scbr0"), "the table is that daemon's, too");
        assert!(!folder.path().exists());
        other.stop().await.unwrap();
        context.links.create_bridge("scbr0", Mac::random(), 1500).await.unwrap();
        assert_eq!(pick_free_name(&context.links, "scbr").await.unwrap(), "scbr1");
    });
}

#[test]
fn a_missing_program_is_named_with_its_package_and_nothing_stays() {
    in_namespace(async {
        let (folder, mut context) = (Folder::new(), context());
        context.dnsmasq = "/nonexistent/dnsmasq".into();
        let error =
            Network::start(config(&[]), &folder.path(), context.clone()).await.err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains("install the package dnsmasq-base") && text.contains("scbr0"),
            "{text}"
        );
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(context.links.get("scbr0").await.unwrap(), None);
        assert!(!rules().contains("sc_scbr0"));
        assert!(!folder.path().exists());
    });
}

#[test]
fn a_dnsmasq_that_fails_without_a_word_is_quoted_from_its_log() {
    in_namespace(async {
        let (folder, mut context) = (Folder::new(), context());
        context.dnsmasq = folder.0.path().join("dnsmasq");
        let log = "for a; do case $a in --log-facility=*) log=${a#*=};; esac; done";
        for (script, said) in [
            (
                format!("#!/bin/sh\n{log}; echo no luck > $log; exit 5\n"),
                "(exit status: 5): no luck",
            ),
            ("#!/bin/sh\nexit 5\n".to_owned(), "/scbr0/dnsmasq.log"),
        ] {
            fs::write(&context.dnsmasq, script).unwrap();
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&context.dnsmasq, fs::Permissions::from_mode(0o755)).unwrap();
            let started = Network::start(config(&[]), &folder.path(), context.clone()).await;
            let text = started.err().unwrap().to_string();
            assert!(text.ends_with(said), "{text}");
        }
    });
}

#[test]
fn the_traces_of_a_crash_go_without_the_network() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        drop(network);
        let pid = folder.pid().unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap(), None);
        assert!(fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty());
        assert!(!rules().contains("sc_scbr0"));
    });
}

#[test]
fn chosen_subnets_are_free_and_serve() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let given = [("ipv6.nat".to_owned(), "false".to_owned())].into();
        let map = choose_subnets(&given, &context.links).await.unwrap();
        assert_eq!((map["ipv4.nat"].as_str(), map["ipv6.nat"].as_str()), ("true", "false"));
        let config = BridgeConfig::parse("scbr0", &map).unwrap();
        let network = Network::start(config, &folder.path(), context.clone()).await.unwrap();
        assert_eq!(network.state().await.unwrap().addresses.len(), 2);
        network.stop().await.unwrap();
    });
}

#[test]
fn a_bridge_without_a_free_port_says_so() {
    in_namespace(async {
        let folder = Folder::new();
        let wide = [("ipv4.address", "10.77.0.1/20"), ("ipv6.address", "none")];
        let context = context();
        let network = Network::start(config(&wide), &folder.path(), context.clone()).await.unwrap();
        let bridge = context.links.get("scbr0").await.unwrap().unwrap().index;
        let netns = Namespace::new();
        for number in 0..1023 {
            let (host_name, guest_name) = (format!("veth{number:08x}"), format!("eth{number}"));
            let (host_name, guest_name, mac) = (&*host_name, &*guest_name, Mac::random());
            let veth =
                crate::link::Veth { host_name, guest_name, mac, mtu: 1500, bridge, group: 7 };
            context.links.create_veth(&veth, netns.fd()).await.unwrap();
        }
        let nic = NicRequest {
            reservation: network.reserve(&request("web1")).unwrap(),
            host_name: "vethffffffff".to_owned(),
            guest_name: "eth0".to_owned(),
            mtu: None,
        };
        let error = network.attach(&nic, Namespace::new().fd()).await.unwrap_err();
        assert!(matches!(error, NetworkError::BridgeFull { .. }), "{error}");
        assert_eq!(context.links.get("vethffffffff").await.unwrap(), None);
        let names = folder.path().join("dnsmasq.names");
        assert_eq!(fs::read_dir(names).unwrap().count(), 0);
        network.stop().await.unwrap();
    });
}

#[test]
fn a_bridge_whose_folder_was_lost_is_known_by_its_mark_taken_up_and_taken_away() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let bridge = context.links.get("scbr0").await.unwrap().unwrap();
        drop(network);
        fs::remove_dir_all(folder.path()).unwrap();
        let again = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        again.take_over(vec![web1.held.clone()], &[web1.port()]).await.unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap().unwrap().index, bridge.index);
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        drop(again);

        fs::remove_dir_all(folder.path()).unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert!(context.links.get("scbr0").await.unwrap().is_none());
        let tables = Command::new("nft").args(["list", "tables"]).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&tables), "");
    });
}

#[test]
fn a_bridge_that_bears_another_folders_mark_or_none_is_left_alone() {
    in_namespace(async {
        let (folder, other, context) = (Folder::new(), Folder::new(), context());
        let network = Network::start(config(&[]), &other.path(), context.clone()).await.unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert!(network.has_bridge().await.unwrap());
        context.links.set_alias("scbr0", "").await.unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert!(network.has_bridge().await.unwrap());
        network.stop().await.unwrap();
    });
}
