use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{ConfigMap, ErrorKind};

fn config(pairs: &[(&str, &str)]) -> Arc<BridgeConfig> {
    let map: ConfigMap =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Arc::new(BridgeConfig::parse("scbr0", &map).unwrap())
}

fn ipam(pairs: &[(&str, &str)]) -> Ipam {
    Ipam::new(config(pairs))
}

fn request(instance: &str, ipv4: Option<&str>) -> ReserveRequest {
    ReserveRequest {
        instance: instance.to_owned(),
        device: "eth0".to_owned(),
        hostname: instance.to_owned(),
        mac: Mac::random(),
        ipv4: ipv4.map(|address| address.parse().unwrap()),
        ipv6: None,
    }
}

fn none(_: IpAddr) -> Option<Mac> {
    None
}

const V4: (&str, &str) = ("ipv4.address", "10.9.8.1/24");
const V6: (&str, &str) = ("ipv6.address", "fd42:1:2:3::1/64");

#[test]
fn the_lowest_free_address_is_given_and_given_again() {
    let mut ipam = ipam(&[V4, V6]);
    let one = request("one", None);
    assert_eq!(ipam.reserve(&one, &none).unwrap().ipv4.unwrap().to_string(), "10.9.8.2");
    let two = ipam.reserve(&request("two", None), &none).unwrap();
    assert_eq!(two.ipv4.unwrap().to_string(), "10.9.8.3");
    let again = ipam.reserve(&one, &none).unwrap();
    assert_eq!(again.ipv4.unwrap().to_string(), "10.9.8.2");
    assert_eq!(again.ipv6, eui64(V6.1.parse().unwrap(), one.mac));
    ipam.release("one", "eth0");
    let three = ipam.reserve(&request("three", None), &none).unwrap();
    assert_eq!(three.ipv4.unwrap().to_string(), "10.9.8.2");
}

#[test]
fn what_a_device_gives_up_is_free_when_that_is_settled_and_its_own_again_when_it_is_put_back() {
    let mut ipam = ipam(&[V4]);
    let one = request("one", None);
    let before = ipam.reserve(&one, &none).unwrap();
    let moved = ReserveRequest { ipv4: "10.9.8.50".parse().ok(), ..one };
    ipam.reserve(&moved, &none).unwrap();
    let taken = ipam.reserve(&request("two", Some("10.9.8.2")), &none).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);

    ipam.put_back("one", "eth0", Some(before.clone()));
    assert_eq!(ipam.get("one", "eth0"), Some(&before));
    ipam.reserve(&request("two", Some("10.9.8.50")), &none).unwrap();
    ipam.put_back("two", "eth0", None);

    ipam.reserve(&moved, &none).unwrap();
    for _ in 0..2 {
        ipam.settle("one", "eth0");
        assert_eq!(ipam.get("one", "eth0").unwrap().ipv4, moved.ipv4);
    }
    ipam.reserve(&request("two", Some("10.9.8.50")), &none).unwrap_err();
    ipam.reserve(&request("two", Some("10.9.8.2")), &none).unwrap();
}

#[test]
fn an_address_that_two_have_is_not_free_when_one_of_them_goes() {
    let mut ipam = ipam(&[V4]);
    let one = ipam.reserve(&request("one", None), &none).unwrap();
    let two = Reservation { instance: "two".to_owned(), mac: Mac::random(), ..one.clone() };
    ipam.load(vec![one.clone(), two.clone()]);
    let kept = ipam.reserve(&request("one", None), &none).unwrap();
    assert_eq!(kept.ipv4, one.ipv4);
    ipam.release("one", "eth0");
    assert!(ipam.holds(two.mac));
    ipam.reserve(&request("three", Some("10.9.8.2")), &none).unwrap_err();

    ipam.load(vec![one, two]);
    let moved = ipam.reserve(&request("two", None), &none).unwrap();
    assert_eq!(moved.ipv4.unwrap().to_string(), "10.9.8.3");
    ipam.settle("two", "eth0");
    ipam.reserve(&request("three", Some("10.9.8.2")), &none).unwrap_err();
    ipam.release("two", "eth0");
    ipam.reserve(&request("three", Some("10.9.8.2")), &none).unwrap_err();
}

#[test]
fn what_another_has_and_what_no_guest_can_have_is_refused() {
    let mut ipam = ipam(&[V4]);
    let one = ipam.reserve(&request("one", Some("10.9.8.7")), &none).unwrap();
    let taken = ipam.reserve(&request("two", Some("10.9.8.7")), &none).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    for address in ["10.9.8.1", "10.9.8.0", "10.9.8.255", "10.9.9.2"] {
        let error = ipam.reserve(&request("two", Some(address)), &none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{address}");
    }
    let mut same_mac = request("two", None);
    same_mac.mac = one.mac;
    assert_eq!(ipam.reserve(&same_mac, &none).unwrap_err().kind(), ErrorKind::Conflict);
    let stranger = |_| Some(Mac([2, 0, 0, 0, 0, 1]));
    let leased = ipam.reserve(&request("two", Some("10.9.8.250")), &stranger).unwrap_err();
    assert!(leased.to_string().contains("02:00:00:00:00:01"), "{leased}");
    assert_eq!(ipam.iter().count(), 1);
}

#[test]
fn a_refused_change_leaves_what_was_held() {
    let mut ipam = ipam(&[V4]);
    let first = ipam.reserve(&request("one", None), &none).unwrap();
    ipam.reserve(&request("one", Some("10.9.9.9")), &none).unwrap_err();
    assert_eq!(ipam.get("one", "eth0"), Some(&first));
}

#[test]
fn a_full_network_says_so_and_what_helps() {
    let mut ipam = ipam(&[("ipv4.address", "10.9.8.1/30")]);
    ipam.reserve(&request("one", None), &none).unwrap();
    let error = ipam.reserve(&request("two", None), &none).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("; delete instances"), "{error}");
}

#[test]
fn the_two_parts_of_a_range_meet_and_do_not_overlap() {
    let ranges = Ranges::ipv4(&config(&[V4])).unwrap();
    assert_eq!(text(&ranges.fixed), "10.9.8.1-10.9.8.223");
    assert_eq!(text(&ranges.dynamic), "10.9.8.224-10.9.8.254");
    let two = ("ipv4.dhcp.ranges", "10.9.8.100-10.9.8.101,10.9.8.10-10.9.8.23");
    let ranges = Ranges::ipv4(&config(&[V4, two])).unwrap();
    assert_eq!(text(&ranges.fixed), "10.9.8.10-10.9.8.23");
    assert_eq!(text(&ranges.dynamic), "10.9.8.100-10.9.8.101");
}

#[test]
fn ipv6_addresses_are_given_only_where_dhcpv6_gives_them() {
    let mut wanted = request("one", None);
    wanted.ipv6 = Some("fd42:1:2:3::77".parse().unwrap());
    assert!(ipam(&[V6]).reserve(&wanted, &none).is_err());
    let stateful = ("ipv6.dhcp.stateful", "true");
    let given = ipam(&[V6, stateful]).reserve(&wanted, &none).unwrap();
    assert_eq!((given.ipv4, given.ipv6), (None, wanted.ipv6));
    let small = ipam(&[("ipv6.address", "fd42::1/120"), stateful])
        .reserve(&request("one", None), &none)
        .unwrap();
    assert_eq!(small.ipv6.unwrap().to_string(), "fd42::2");
}

proptest! {
    #[test]
    fn no_two_devices_ever_share_an_address(
        steps in proptest::collection::vec((0_u8..12, 0_u8..3, proptest::option::of(0_u8..20)), 1..80),
    ) {
        let mut ipam = ipam(&[("ipv4.address", "10.9.8.1/28"), V6]);
        for (who, what, wanted) in steps {
            let name = format!("i{who}");
            let before = ipam.get(&name, "eth0").cloned();
            if what == 0 {
                ipam.release(&name, "eth0");
            } else {
                let address = wanted.map(|last| format!("10.9.8.{last}"));
                let _ = ipam.reserve(&request(&name, address.as_deref()), &none);
            }
            if what == 1 {
                ipam.put_back(&name, "eth0", before.clone());
                prop_assert_eq!(ipam.get(&name, "eth0"), before.as_ref());
            }
            let held = ipam.get(&name, "eth0").cloned();
            ipam.settle(&name, "eth0");
            prop_assert_eq!(ipam.get(&name, "eth0"), held.as_ref());
            let mut seen: Vec<IpAddr> = ipam.iter().flat_map(addresses).collect();
            let count = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), count);
            prop_assert_eq!(ipam.owners.len(), count);
            prop_assert!(!seen.contains(&"10.9.8.1".parse().unwrap()));
            prop_assert_eq!(ipam.macs.len(), ipam.held.len());
        }
    }
}
