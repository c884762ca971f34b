//! What guests do not get, whatever they try.

use std::net::UdpSocket;

use super::*;

#[test]
fn a_guest_decides_its_name_only_within_its_network() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let web2 = Guest::attach(&network, &request("web2")).await;
        let shown = ["8.8.8.8", "10.77.5.1", "10.77.5.3", "fd42:7:5:1::99", "fe80::1"];
        let shown: Vec<IpAddr> = shown.iter().map(|text| text.parse().unwrap()).collect();
        network.set_addresses("web1", "eth0", &shown).unwrap();
        let text = fs::read_to_string(folder.path().join("dnsmasq.names/web1.eth0")).unwrap();
        assert_eq!(text, "10.77.5.2 web1.lxd web1\nfd42:7:5:1::99 web1.lxd web1\n");
        let many = (0..1000).map(|n| format!("fd42:7:5:1::1:{n:x}").parse().unwrap());
        let many: Vec<IpAddr> = many.chain(["10.77.5.2".parse().unwrap()]).collect();
        network.set_addresses("web1", "eth0", &many).unwrap();
        let text = fs::read_to_string(folder.path().join("dnsmasq.names/web1.eth0")).unwrap();
        assert!(text.starts_with("10.77.5.2 web1.lxd"), "{text}");
        assert_eq!(text.lines().count(), 32);
        web1.leave(&network).await;
        web2.leave(&network).await;
        network.stop().await.unwrap();
    });
}

#[test]
fn the_bridge_takes_no_orders_from_its_guests() {
    in_namespace(async {
        let folder = Folder::new();
        for family in ["ipv4", "ipv6"] {
            let default = format!("/proc/sys/net/{family}/conf/default/accept_source_route");
            fs::write(default, "1").unwrap();
        }
        fs::write("/proc/sys/net/ipv4/conf/default/route_localnet", "1").unwrap();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        for key in [
            "ipv4/conf/scbr0/accept_redirects",
            "ipv4/conf/scbr0/send_redirects",
            "ipv4/conf/scbr0/accept_source_route",
            "ipv4/conf/scbr0/route_localnet",
            "ipv4/conf/scbr0/proxy_arp",
            "ipv6/conf/scbr0/accept_redirects",
            "ipv6/conf/scbr0/accept_source_route",
            "ipv6/conf/scbr0/accept_ra",
            "ipv6/conf/scbr0/proxy_ndp",
        ] {
            let value = fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap();
            assert_eq!(value.trim(), "0", "{key}");
        }
        network.stop().await.unwrap();
    });
}

#[test]
fn a_guest_speaks_for_itself_only() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let world = world(&context).await;
        let listening = world.run(async { UdpSocket::bind("192.0.2.2:7777").unwrap() });
        listening.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let host = UdpSocket::bind("10.77.5.1:7777").unwrap();
        host.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        web1.dhcp();
        let send = |from: &'static str| {
            web1.run(async move {
                let links = Links::new().unwrap();
                let index = links.get("eth0").await.unwrap().unwrap().index;
                links.add_address(index, format!("{from}/32").parse().unwrap()).await.unwrap();
                let socket = UdpSocket::bind((from, 0)).unwrap();
                socket.send_to(b"hello", "192.0.2.2:7777").unwrap();
                socket.send_to(b"hello", "10.77.5.1:7777").unwrap();
            });
        };
        let heard = |socket: &UdpSocket| socket.recv_from(&mut [0; 9]).ok().map(|from| from.1.ip());
        send("10.77.5.2");
        assert_eq!(heard(&listening), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(heard(&host), Some("10.77.5.2".parse().unwrap()));
        // One that nobody has, and one of the world's.
        for foreign in ["198.51.100.7", "192.0.2.99"] {
            send(foreign);
            assert_eq!((heard(&listening), heard(&host)), (None, None), "{foreign}");
        }
        network.stop().await.unwrap();
    });
}

/// A DHCPDISCOVER that asks to be served at once, so that each takes an address.
fn discover(mac: Mac) -> Vec<u8> {
    let mut packet = vec![0; 236];
    packet[..3].copy_from_slice(&[1, 1, 6]);
    packet[4..8].copy_from_slice(&mac.0[2..]);
    packet[28..34].copy_from_slice(&mac.0);
    packet.extend([99, 130, 83, 99, 53, 1, 1, 80, 0, 255]);
    packet
}

/// Asks for many addresses.
async fn ask_around() {
    let socket = tokio::net::UdpSocket::bind("0.0.0.0:68").await.unwrap();
    socket.bind_device(Some(b"eth0")).unwrap();
    socket.set_broadcast(true).unwrap();
    for _ in 0..1000 {
        let packet = discover(Mac::random());
        socket.send_to(&packet, "255.255.255.255:67").await.unwrap();
    }
}

#[test]
fn a_guest_that_asks_for_addresses_without_end_does_not_fill_the_disk() {
    in_namespace(async {
        let folder = Folder::new();
        let small = [("ipv4.address", "10.77.5.1/28"), ("ipv6.address", "none")];
        let network = Network::start(config(&small), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        web1.run(async { Links::new().unwrap().set_up("eth0").await.unwrap() });
        let (log, old) = (folder.path().join("dnsmasq.log"), folder.path().join("dnsmasq.log.old"));
        let size = || fs::metadata(&log).unwrap().len();
        let (until, mut largest) = (Instant::now() + Duration::from_secs(60), 0);
        while !old.exists() {
            assert!(Instant::now() < until, "the log has {largest} bytes");
            web1.run(ask_around());
            largest = largest.max(size());
            // The network lives on this thread.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(largest > 1 << 20 && size() < 1 << 20, "{largest} bytes before, {} now", size());
        network.stop().await.unwrap();
    });
}
