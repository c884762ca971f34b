//! Run in a network namespace of their own.

use super::*;
use crate::testing::{Namespace, in_namespace};

#[test]
fn a_bridge_has_its_address_and_hardware_address_from_the_start() {
    in_namespace(async {
        let links = Links::new().unwrap();
        let mac = Mac::random();
        links.create_bridge("scbr0", mac, 1400).await.unwrap();
        let bridge = links.get("scbr0").await.unwrap().unwrap();
        assert_eq!((bridge.kind.as_str(), bridge.mac, bridge.mtu), ("bridge", Some(mac), 1400));
        assert!(!bridge.up);
        links.set_up("scbr0").await.unwrap();
        let net = "10.1.2.1/24".parse().unwrap();
        links.add_address(bridge.index, net).await.unwrap();
        links.add_address(bridge.index, net).await.unwrap();
        assert_eq!(links.addresses(bridge.index).await.unwrap(), [net]);
        let in_use = links.in_use(None).await.unwrap();
        assert!(in_use.overlap("10.1.2.0/25".parse::<ipnet::Ipv4Net>().unwrap()).is_some());
        let others = links.in_use(Some(bridge.index)).await.unwrap();
        assert_eq!(others.overlap("10.0.0.0/8".parse::<ipnet::Ipv4Net>().unwrap()), None);
        links.delete_address(bridge.index, net).await.unwrap();
        assert_eq!(links.addresses(bridge.index).await.unwrap(), []);
        links.delete("scbr0").await.unwrap();
        links.delete("scbr0").await.unwrap();
        assert_eq!(links.get("scbr0").await.unwrap(), None);
    });
}

#[test]
fn the_guests_end_of_a_pair_is_born_in_the_guests_namespace() {
    in_namespace(async {
        let links = Links::new().unwrap();
        links.create_bridge("scbr0", Mac::random(), 1500).await.unwrap();
        let bridge = links.get("scbr0").await.unwrap().unwrap().index;
        let guest = Namespace::new();
        let mac = Mac::random();
        let veth = Veth {
            host_name: "veth00000001",
            guest_name: "eth0",
            mac,
            mtu: 1420,
            bridge,
            group: 7,
        };
        links.create_veth(&veth, guest.fd()).await.unwrap();
        let host = links.get("veth00000001").await.unwrap().unwrap();
        assert_eq!((host.controller, host.mtu), (Some(bridge), 1420));
        assert_eq!(links.get("eth0").await.unwrap(), None);
        let inside = guest.run(async { Links::new().unwrap().get("eth0").await.unwrap().unwrap() });
        assert_eq!((inside.mac, inside.mtu, inside.up), (Some(mac), 1420, false));
        assert_eq!(links.names_with_prefix("veth").await.unwrap(), ["veth00000001"]);
    });
}

#[test]
fn an_error_names_what_was_tried_and_on_what() {
    in_namespace(async {
        let links = Links::new().unwrap();
        links.create_bridge("scbr0", Mac::random(), 1500).await.unwrap();
        let error = links.create_bridge("scbr0", Mac::random(), 1500).await.unwrap_err();
        assert_eq!(error.to_string(), "create bridge scbr0");
        assert_eq!(error.kind(), crate::ErrorKind::Conflict);
    });
}
