//! What guests get: addresses, names, a way out.

use super::*;

#[test]
fn a_guest_gets_its_address_and_finds_its_neighbour_and_nothing_is_left() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let rules_up = rules();
        assert!(rules_up.contains("table inet sc_scbr0"), "{rules_up}");
        assert!(rules_up.contains("masquerade"), "{rules_up}");
        assert!(rules_up.contains("udp dport 67 drop"), "{rules_up}");
        let state = network.state().await.unwrap();
        assert!(state.up && state.addresses.contains(&("10.77.5.1".parse().unwrap(), 24)));
        assert!(state.addresses.contains(&("fd42:7:5:1::1".parse().unwrap(), 64)));

        let web1 = Guest::attach(&network, &request("web1")).await;
        let web2 = Guest::attach(&network, &request("web2")).await;
        assert_eq!(web1.dhcp(), "10.77.5.2 10.77.5.1 10.77.5.1 lxd");
        assert_eq!(web2.dhcp(), "10.77.5.3 10.77.5.1 10.77.5.1 lxd");
        for name in ["web2", "web2.lxd"] {
            let answer = web1.look_up(name, Some("10.77.5.3"));
            assert!(answer.contains("10.77.5.3"), "{answer}");
            assert!(answer.contains(&web2.held.ipv6.unwrap().to_string()), "{answer}");
        }
        let answer = web1.look_up("10.77.5.3", Some("web2.lxd"));
        assert!(answer.contains("web2.lxd"), "{answer}");
        let leases = network.leases().await.unwrap();
        let gateway = leases.iter().find(|lease| lease.kind == LeaseKind::Gateway).unwrap();
        for name in [gateway.hostname.clone(), format!("{}.lxd", gateway.hostname)] {
            let answer = web1.look_up(&name, Some("10.77.5.1"));
            assert!(answer.contains("Name:") && answer.contains("fd42:7:5:1::1"), "{answer}");
        }
        let count = |kind| leases.iter().filter(|lease| lease.kind == kind).count();
        assert_eq!((count(LeaseKind::Static), count(LeaseKind::Dynamic)), (4, 0));

        let pid = folder.pid().unwrap();
        web1.leave(&network).await;
        web2.leave(&network).await;
        network.stop().await.unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap(), None);
        assert_eq!(context.links.names_with_prefix("veth").await.unwrap(), [""; 0]);
        assert!(!folder.path().exists());
        assert!(!rules().contains("sc_scbr0"));
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(cmdline.is_empty(), "dnsmasq {pid} is still there");
    });
}

#[test]
fn the_address_of_an_instance_that_went_serves_the_next() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        for round in 0..3 {
            let name = format!("web{round}");
            let guest = Guest::attach(&network, &request(&name)).await;
            assert!(guest.dhcp().starts_with("10.77.5.2 "));
            assert!(guest.look_up(&name, Some("10.77.5.2")).contains("10.77.5.2"));
            if round > 0 {
                let gone = format!("web{}", round - 1);
                let answer = guest.look_up(&gone, None);
                assert!(!answer.contains("10.77.5.2\n"), "{answer}");
            }
            guest.leave(&network).await;
        }
        // dnsmasq takes the release when it comes to it.
        let lease_left = || {
            let text = fs::read_to_string(folder.path().join("dnsmasq.leases")).unwrap();
            text.contains("10.77.5.2")
        };
        let until = Instant::now() + Duration::from_secs(5);
        while lease_left() {
            assert!(Instant::now() < until, "the lease is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        network.stop().await.unwrap();
    });
}

#[test]
fn what_a_guest_showed_before_it_went_comes_too_late() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let names = folder.path().join("dnsmasq.names/web1.eth0");
        network.set_addresses("web1", "eth0", &["10.77.5.9".parse().unwrap()]).unwrap();
        assert!(fs::read_to_string(&names).unwrap().starts_with("10.77.5.9 "));
        network.detach("web1", "eth0", &web1.host_name).await.unwrap();
        network.set_addresses("web1", "eth0", &["10.77.5.9".parse().unwrap()]).unwrap();
        assert!(!names.exists());
        network.stop().await.unwrap();
    });
}

#[test]
fn a_guest_makes_itself_the_ipv6_address_that_its_name_stands_for() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let wanted: IpAddr = web1.held.ipv6.unwrap().into();
        let route = web1.run(async move {
            let links = Links::new().unwrap();
            links.set_up("eth0").await.unwrap();
            let index = links.get("eth0").await.unwrap().unwrap().index;
            let until = Instant::now() + Duration::from_secs(20);
            while !links.addresses(index).await.unwrap().iter().any(|net| net.addr() == wanted) {
                assert!(Instant::now() < until, "no address by router advertisement");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let output = Command::new("busybox").args(["ip", "-6", "route"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        });
        assert!(route.contains("default via fe80:"), "{route}");
        network.stop().await.unwrap();
    });
}

#[test]
fn what_leaves_the_network_takes_the_hosts_address() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let _world = world(&context).await;
        let web1 = Guest::attach(&network, &request("web1")).await;
        web1.dhcp();
        let reached = web1.run(async {
            let args = ["ping", "-c", "1", "-W", "5", "192.0.2.2"];
            Command::new("busybox").args(args).output().unwrap().status.success()
        });
        assert!(reached);
        network.stop().await.unwrap();
    });
}

#[test]
fn a_strangers_lease_keeps_an_address_until_an_instance_is_given_it() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        // A guest that makes up a hardware address is a stranger.
        let guest = Guest::attach(&network, &request("web1")).await;
        let stranger = Mac::random();
        guest.run(async move {
            let args = ["ifconfig", "eth0", "hw", "ether", &stranger.to_string()];
            assert!(Command::new("busybox").args(args).status().unwrap().success());
        });
        let bound = guest.dhcp();
        let address: Ipv4Addr = bound.split(' ').next().unwrap().parse().unwrap();
        assert!((224..255).contains(&address.octets()[3]), "{address}");
        let leases = network.leases().await.unwrap();
        let dynamic = leases.iter().find(|lease| lease.kind == LeaseKind::Dynamic).unwrap();
        assert_eq!((dynamic.mac, dynamic.address), (Some(stranger), address.into()));
        let mut wanted = request("web2");
        wanted.ipv4 = Some(address);
        assert_eq!(network.reserve(&wanted).unwrap_err().kind(), ErrorKind::Conflict);
        // A reservation from before the lease wins when its instance starts.
        let held = Reservation {
            instance: "web2".to_owned(),
            device: "eth0".to_owned(),
            hostname: "web2".to_owned(),
            mac: wanted.mac,
            ipv4: Some(address),
            ipv6: None,
        };
        network.take_over(vec![guest.held.clone(), held], &[]).await.unwrap();
        wanted.ipv4 = None;
        let web2 = Guest::attach(&network, &wanted).await;
        assert!(web2.dhcp().starts_with(&format!("{address} ")));
        network.stop().await.unwrap();
    });
}

#[test]
fn dhcpv6_with_addresses_lets_a_released_one_serve_again() {
    in_namespace(async {
        let folder = Folder::new();
        let stateful = [("ipv6.address", "fd42:7:5:1::1/120"), ("ipv6.dhcp.stateful", "true")];
        let network = Network::start(config(&stateful), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        assert_eq!(web1.held.ipv6.unwrap().to_string(), "fd42:7:5:1::2");
        let leases = folder.path().join("dnsmasq.leases");
        let duid = fs::read_to_string(&leases).unwrap();
        assert!(duid.contains("duid"), "{duid}");
        // As dnsmasq would have written it for a client.
        let pid = folder.pid().unwrap();
        let line = "1999999999 7 fd42:7:5:1::2 * 00:01:00:01:2c:00:00:00:00:16:3e:00:00:01\n";
        fs::write(&leases, format!("{duid}{line}")).unwrap();
        web1.leave(&network).await;
        assert!(!fs::read_to_string(&leases).unwrap().contains("fd42:7:5:1::2"));
        assert_ne!(folder.pid().unwrap(), pid);
        assert!(network.reserve(&request("web2")).is_ok());
        network.stop().await.unwrap();
    });
}

#[test]
fn a_request_for_an_address_wakes_no_other_guest() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let web2 = Guest::attach(&network, &request("web2")).await;
        web1.dhcp();
        let [requests, others] = [67, 9].map(|port| {
            web1.run(async move {
                let socket = std::net::UdpSocket::bind(("0.0.0.0", port)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                socket
            })
        });
        assert!(web2.dhcp().starts_with("10.77.5.3 "));
        web2.run(async {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_broadcast(true).unwrap();
            socket.send_to(b"hello", "10.77.5.255:9").unwrap();
        });
        let mut heard = [0; 600];
        assert_eq!(others.recv(&mut heard).unwrap(), 5, "what is sent to all is heard");
        requests.set_nonblocking(true).unwrap();
        assert_eq!(requests.recv(&mut heard).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        network.stop().await.unwrap();
    });
}

#[test]
fn a_guest_may_serve_addresses_where_the_network_does_not() {
    in_namespace(async {
        let folder = Folder::new();
        let config = config(&[("ipv4.dhcp", "false")]);
        let network = Network::start(config, &folder.path(), context()).await.unwrap();
        assert!(!rules().contains("udp dport 67 drop"), "{}", rules());
        network.stop().await.unwrap();
    });
}
