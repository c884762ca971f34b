//! What an instance's interface on a network is made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Mac;

/// A request for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveRequest {
    /// The instance, unique on the network.
    pub instance: String,
    /// The device's name in the instance's configuration, such as `eth0`.
    pub device: String,
    /// The name that DNS answers for.
    pub hostname: String,
    /// The hardware address.
    pub mac: Mac,
    /// The IPv4 address asked for; without it the lowest free one.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address asked for; without it the one that follows from the hardware address.
    pub ipv6: Option<Ipv6Addr>,
}

/// What one device of one instance holds on a network, whether it runs or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The instance.
    pub instance: String,
    /// The device's name in the instance's configuration.
    pub device: String,
    /// The name that DNS answers for.
    pub hostname: String,
    /// The hardware address.
    pub mac: Mac,
    /// The IPv4 address; `None` where the network has no IPv4 or gives no addresses.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address that DHCPv6 gives or that the guest makes of its hardware address.
    pub ipv6: Option<Ipv6Addr>,
}

/// An interface to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicRequest {
    /// What was reserved for it by [`Network::reserve`](crate::Network::reserve).
    pub reservation: Reservation,
    /// The name on the host, from [`new_host_name`]: new for every start, since the name of an
    /// interface whose namespace is dying stays taken for a while.
    pub host_name: String,
    /// The name inside the guest.
    pub guest_name: String,
    /// In bytes; the bridge's without it.
    pub mtu: Option<u32>,
}

/// A device that is plugged in: its instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The instance.
    pub instance: String,
    /// The device's name in the instance's configuration.
    pub device: String,
    /// The interface's name on the host.
    pub host_name: String,
}

/// Where a lease comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseKind {
    /// Reserved for an instance.
    Static,
    /// Given by dnsmasq to who asked.
    Dynamic,
    /// The network's own address.
    Gateway,
}

impl LeaseKind {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Gateway => "gateway",
        }
    }
}

/// An address that is in use on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The host's name; empty if it gave none.
    pub hostname: String,
    /// The hardware address; `None` for a DHCPv6 client that showed none.
    pub mac: Option<Mac>,
    /// The address.
    pub address: IpAddr,
    /// Where it comes from.
    pub kind: LeaseKind,
}

/// Makes a name for the host's end of an instance's interface: `veth` and eight random digits.
pub fn new_host_name() -> String {
    format!("veth{:08x}", rand::random::<u32>())
}

/// The group (see ip-link(8)) that the host's ends of a network's interfaces are in: the FNV-1a hash of its name,
/// so that each network has another, which outlives daemon and bridge.
pub fn port_group(network: &str) -> u32 {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    network.bytes().fold(0x811c_9dc5, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_fits_an_interface_and_is_new_each_time() {
        let (one, two) = (new_host_name(), new_host_name());
        assert!(one.len() <= 15 && one.starts_with("veth"));
        assert_ne!(one, two);
    }
}
