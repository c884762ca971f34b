//! Free subnets, and the IPv6 address that follows from a hardware address.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Mac;

/// The prefix of an IPv4 subnet that is chosen and not given.
pub const AUTO_IPV4_PREFIX: u8 = 24;

/// Subnets that others take by default, and that cannot be seen before they have taken them: Podman's
/// first network comes up with its first container, Docker's with Docker.
const DEFAULTS_OF_OTHERS: [([u8; 4], u8); 2] = [([10, 88, 0, 0], 16), ([172, 17, 0, 0], 16)];

fn is_default_of_others(net: Ipv4Net) -> bool {
    DEFAULTS_OF_OTHERS
        .into_iter()
        .filter_map(|(address, prefix)| Ipv4Net::new(address.into(), prefix).ok())
        .any(|theirs| theirs.contains(&net))
}

/// What the host uses: the destinations of its routes and the subnets of its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// IPv4 and IPv6, in any order. Default routes are no use and are left out.
    pub nets: Vec<IpNet>,
}

impl InUse {
    /// Returns something in use that shares an address with this subnet.
    pub fn overlap(&self, net: impl Into<IpNet>) -> Option<IpNet> {
        let net = net.into();
        let shares = |other: &&IpNet| {
            other.prefix_len() > 0 && (other.contains(&net) || net.contains(*other))
        };
        self.nets.iter().find(shares).copied()
    }
}

/// Returns a free /24 with its first address as the gateway's: under 10.0.0.0/8, or where a route
/// covers all of that, under 172.16.0.0/12, or under 192.168.0.0/16. `seed` says where to begin.
pub fn free_ipv4(in_use: &InUse, seed: u32) -> Option<Ipv4Net> {
    let blocks = [([10, 0], 1 << 16), ([172, 16], 1 << 12), ([192, 168], 1 << 8)];
    blocks.into_iter().find_map(|([a, b], count)| {
        let base = u32::from(Ipv4Addr::new(a, b, 0, 0));
        (0..count)
            .map(|step| base + (((seed % count + step) % count) << 8))
            .filter_map(|net| Ipv4Net::new(Ipv4Addr::from(net + 1), AUTO_IPV4_PREFIX).ok())
            .find(|net| in_use.overlap(*net).is_none() && !is_default_of_others(*net))
    })
}

/// Returns a free /64 under fd42::/16 with its first address as the gateway's, made of these random
/// bits: unique-local prefixes are meant to be random, so that two sites can be joined.
pub fn free_ipv6(in_use: &InUse, seed: u64) -> Option<Ipv6Net> {
    (0..1024_u64)
        .map(|step| {
            let random = u128::from(seed.wrapping_add(step) & 0xffff_ffff_ffff);
            Ipv6Addr::from(0xfd42_u128 << 112 | random << 64 | 1)
        })
        .filter_map(|gateway| Ipv6Net::new(gateway, 64).ok())
        .find(|net| in_use.overlap(*net).is_none())
}

/// Returns the address that a guest with this hardware address makes for itself in this subnet;
/// `None` where the subnet leaves no 64 bits for it.
pub fn eui64(net: Ipv6Net, mac: Mac) -> Option<Ipv6Addr> {
    if net.prefix_len() > 64 {
        return None;
    }
    let [a, b, c, d, e, f] = mac.0;
    let host = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    // The upper half of the gateway's address, so that a prefix shorter than 64 bits keeps its subnet.
    let upper = u128::from(net.addr()) >> 64 << 64;
    Some(Ipv6Addr::from(upper | u128::from(host)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_use(nets: &[&str]) -> InUse {
        InUse { nets: nets.iter().map(|net| net.parse().unwrap()).collect() }
    }

    #[test]
    fn what_podman_and_docker_take_by_default_is_left_to_them() {
        let first_of = |in_use: &InUse, seed| free_ipv4(in_use, seed).unwrap().to_string();
        assert_eq!(first_of(&in_use(&[]), 88 << 8), "10.89.0.1/24");
        assert_eq!(first_of(&in_use(&["10.0.0.0/8"]), 1 << 8), "172.18.0.1/24");
    }

    #[test]
    fn a_route_that_covers_a_block_leads_to_the_next() {
        let all = ["0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
        assert!(free_ipv4(&in_use(&all[..1]), 7).unwrap().to_string().starts_with("10."));
        assert!(free_ipv4(&in_use(&all[..2]), 7).unwrap().to_string().starts_with("172."));
        assert_eq!(free_ipv4(&in_use(&all[..3]), 7).unwrap().to_string(), "192.168.7.1/24");
        assert_eq!(free_ipv4(&in_use(&all), 7), None);
    }

    #[test]
    fn the_address_of_a_hardware_address_is_the_known_one() {
        let mac = "00:16:3e:12:34:56".parse().unwrap();
        let address = eui64("fd42:1:2:3::1/64".parse().unwrap(), mac);
        assert_eq!(address.unwrap().to_string(), "fd42:1:2:3:216:3eff:fe12:3456");
        assert_eq!(eui64("fd42::1/80".parse().unwrap(), mac), None);
    }

    proptest! {
        #[test]
        fn a_chosen_subnet_overlaps_nothing(
            used in proptest::collection::vec((any::<[u8; 3]>(), 9_u8..=32), 0..40),
            seed in any::<u32>(),
        ) {
            let nets = used.iter().map(|([b, c, d], prefix)| {
                IpNet::from(Ipv4Net::new(Ipv4Addr::new(10, *b, *c, *d), *prefix).unwrap())
            });
            let in_use = InUse { nets: nets.collect() };
            if let Some(net) = free_ipv4(&in_use, seed) {
                prop_assert_eq!(in_use.overlap(net), None);
                prop_assert!(net.addr().is_private());
                prop_assert_eq!(u32::from(net.addr()), u32::from(net.network()) + 1);
            }
        }

        #[test]
        fn a_chosen_prefix_is_unique_local(seed in any::<u64>()) {
            let net = free_ipv6(&InUse::default(), seed).unwrap();
            prop_assert!(net.addr().is_unique_local());
            let taken = InUse { nets: vec![net.into()] };
            prop_assert_ne!(free_ipv6(&taken, seed).unwrap().network(), net.network());
        }
    }
}
