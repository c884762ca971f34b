//! Where a network cannot lie: what no host of a network of one's own can have for an address.

use ipnet::IpNet;

/// The kernel takes some of these for an interface's address all the same; guests, and what they talk to, do not.
const SPECIAL: &[(&str, &str)] = &[
    ("0.0.0.0/8", "they stand for this host"),
    ("127.0.0.0/8", "they are the host's loopback"),
    ("169.254.0.0/16", "they are link-local"),
    ("224.0.0.0/4", "they are multicast"),
    // The broadcast address is one of them.
    ("240.0.0.0/4", "they are reserved"),
    // Unspecified, loopback, and what IPv4 was once written as.
    ("::/96", "they are the host's own, or IPv4 in disguise"),
    ("::ffff:0:0/96", "they stand for IPv4 addresses"),
    ("::ffff:0:0:0/96", "they stand for IPv4 addresses"),
    ("64:ff9b::/96", "they are translated to IPv4"),
    ("64:ff9b:1::/48", "they are translated to IPv4"),
    ("fe80::/10", "they are link-local"),
    ("fec0::/10", "they are no longer used; take some of fd00::/8"),
    ("ff00::/8", "they are multicast"),
];

/// Refuses a subnet that has special addresses within or around it.
pub(crate) fn usable(net: IpNet) -> Result<(), String> {
    let special = SPECIAL.iter().find(|(special, _)| {
        let special: IpNet = special.parse().expect("the table has subnets");
        special.contains(&net) || net.contains(&special)
    });
    match special {
        Some((special, why)) => Err(format!("a network cannot have addresses of {special}: {why}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_network_can_have_is_refused_with_its_range() {
        for (net, range) in [
            ("224.0.0.1/24", "224.0.0.0/4"),
            ("240.0.0.1/24", "240.0.0.0/4"),
            ("255.255.255.254/24", "240.0.0.0/4"),
            ("0.1.2.3/8", "0.0.0.0/8"),
            ("169.254.0.1/16", "169.254.0.0/16"),
            ("169.253.0.1/8", "169.254.0.0/16"),
            ("127.0.0.1/8", "127.0.0.0/8"),
            ("10.0.0.1/0", "0.0.0.0/8"),
            ("ff02::1/64", "ff00::/8"),
            ("fe80::1/64", "fe80::/10"),
            ("fec0::1/64", "fec0::/10"),
            ("::1/64", "::/96"),
            ("::ffff:10.0.0.1/112", "::ffff:0:0/96"),
            ("64:ff9b::1/64", "64:ff9b::/96"),
            ("64:ff9b:1:2::1/64", "64:ff9b:1::/48"),
        ] {
            let reason = usable(net.parse().unwrap()).unwrap_err();
            assert!(reason.contains(&format!("of {range}: ")), "{net}: {reason}");
        }
    }

    #[test]
    fn private_shared_global_and_documentation_networks_are_taken() {
        for net in [
            "10.0.3.1/24",
            "172.16.0.1/12",
            "192.168.0.1/16",
            "100.64.0.1/10",
            "192.0.2.1/24",
            "198.18.0.1/15",
            "203.0.113.1/24",
            "8.8.8.1/24",
            "fd42:1:2:3::1/64",
            "2001:db8::1/32",
            "2600:1:2:3::1/64",
        ] {
            assert_eq!(usable(net.parse().unwrap()), Ok(()), "{net}");
        }
    }
}
