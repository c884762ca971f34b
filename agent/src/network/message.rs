//! Netlink messages as bytes: made, taken apart, and what the guest's interfaces are according to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sc_agent_protocol::{Interface, InterfaceAddress, Scope};

const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;

/// Message types and flags of linux/netlink.h and linux/rtnetlink.h.
pub(super) mod kind {
    pub(in super::super) const ERROR: u16 = 2;
    pub(in super::super) const DONE: u16 = 3;
    pub(in super::super) const NEW_LINK: u16 = 16;
    pub(in super::super) const DELETE_LINK: u16 = 17;
    pub(in super::super) const GET_LINK: u16 = 18;
    pub(in super::super) const NEW_ADDRESS: u16 = 20;
    pub(in super::super) const DELETE_ADDRESS: u16 = 21;
    pub(in super::super) const GET_ADDRESS: u16 = 22;
    pub(in super::super) const REQUEST: u16 = 0x1;
    pub(in super::super) const ACKNOWLEDGE: u16 = 0x4;
    pub(in super::super) const DUMP: u16 = 0x300;
    /// What is listed has changed meanwhile: some of it may be missing.
    pub(in super::super) const INTERRUPTED: u16 = 0x10;
}

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_GROUP: u16 = 27;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;
/// The kind is in the low bits: the high ones say nested, and byte order.
const TYPE_MASK: u16 = 0x3fff;

/// A message that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// A link of the network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub index: u32,
    pub flags: u32,
    pub name: String,
    pub address: Vec<u8>,
    pub mtu: u32,
    pub counters: [u64; 4],
    /// Its type, where it is virtual.
    pub kind: Option<String>,
    /// Whether its other side lies in another network namespace.
    pub reaches_out: bool,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub index: u32,
    pub family: u8,
    pub prefix: u8,
    pub scope: u8,
    pub address: IpAddr,
}

/// Makes a message; its length is filled in.
pub(super) fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).expect("requests are short");
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | kind::REQUEST).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes
}

/// Makes a link's header; what is in `change` gets its value from `flags`.
pub(super) fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(change.to_ne_bytes());
    bytes
}

/// Makes the request's part that brings a link down, or up.
pub(super) fn link_state(index: u32, up: bool) -> Vec<u8> {
    link_header(index, if up { IFF_UP } else { 0 }, IFF_UP)
}

/// Makes the request's part that puts a link into a group; for a link 0, that means a whole group.
pub(super) fn link_group(index: u32, group: u32) -> Vec<u8> {
    let mut bytes = link_header(index, 0, 0);
    let length = u16::try_from(ATTRIBUTE_HEADER + size_of_val(&group)).expect("a number is short");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(IFLA_GROUP.to_ne_bytes());
    bytes.extend(group.to_ne_bytes());
    bytes
}

/// Makes an address's header and itself.
pub(super) fn address_payload(address: &Address) -> Vec<u8> {
    let mut bytes = vec![address.family, address.prefix, 0, address.scope];
    bytes.extend(address.index.to_ne_bytes());
    let octets = match address.address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = u16::try_from(ATTRIBUTE_HEADER + octets.len()).expect("an address is short");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(IFA_LOCAL.to_ne_bytes());
    bytes.extend(octets);
    bytes
}

/// Takes a packet apart into its messages; what is cut off is left out.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<Received<'_>> {
    let mut all = Vec::new();
    while let (Some(length), Some(kind), Some(flags), Some(sequence)) =
        (u32_at(bytes, 0), u16_at(bytes, 4), u16_at(bytes, 6), u32_at(bytes, 8))
    {
        let length = length as usize;
        let Some(payload) = bytes.get(HEADER..length) else { break };
        all.push(Received { kind, flags, sequence, payload });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// Returns the error number of an error message; 0 is an acknowledgement.
pub(super) fn error_number(payload: &[u8]) -> i32 {
    u32_at(payload, 0).map_or(0, |number| number.cast_signed().saturating_neg())
}

/// Reads a link.
pub(super) fn link(payload: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(payload, 4)?,
        flags: u32_at(payload, 8)?,
        name: String::new(),
        address: Vec::new(),
        mtu: 0,
        counters: [0; 4],
        kind: None,
        reaches_out: false,
    };
    for (kind, value) in attributes(payload.get(LINK_HEADER..)?) {
        match kind {
            IFLA_ADDRESS => link.address = value.to_vec(),
            IFLA_IFNAME => link.name = text(value),
            IFLA_MTU => link.mtu = u32_at(value, 0).unwrap_or(0),
            IFLA_STATS64 => link.counters = counters(value),
            IFLA_LINK_NETNSID => link.reaches_out = true,
            IFLA_LINKINFO => {
                let mut inner = attributes(value);
                let kind = inner.find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    Some(link)
}

/// Reads an address.
pub(super) fn address(payload: &[u8]) -> Option<Address> {
    let &[family, prefix, _, scope, ..] = payload else { return None };
    let mut found = None;
    for (kind, value) in attributes(payload.get(ADDRESS_HEADER..)?) {
        // On a point-to-point link the other attribute is the peer's.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && found.is_none()) {
            found = ip(family, value);
        }
    }
    Some(Address { index: u32_at(payload, 4)?, family, prefix, scope, address: found? })
}

/// Puts links and their addresses together as the daemon wants them.
pub(super) fn interfaces(links: Vec<Link>, addresses: &[Address]) -> Vec<Interface> {
    let of_link = |index| addresses.iter().filter(move |address| address.index == index);
    let interface = |link: Link| Interface {
        mac: if link.is_loopback() { String::new() } else { mac(&link.address) },
        mtu: link.mtu,
        up: link.flags & IFF_UP != 0,
        loopback: link.is_loopback(),
        addresses: of_link(link.index).map(Address::to_protocol).collect(),
        counters: link.counters,
        name: link.name,
    };
    links.into_iter().map(interface).collect()
}

impl Address {
    fn to_protocol(&self) -> InterfaceAddress {
        let scope = match self.scope {
            RT_SCOPE_LINK => Scope::Link,
            RT_SCOPE_HOST => Scope::Local,
            _ => Scope::Global,
        };
        InterfaceAddress { address: self.address, prefix: self.prefix, scope }
    }
}

impl Link {
    /// Whether the guest has made it: it is virtual, and nothing outside holds its other side.
    pub(super) fn is_guests_own(&self) -> bool {
        self.kind.is_some() && !self.reaches_out && !self.is_loopback()
    }

    /// Whether it leads back to the guest itself.
    pub(super) fn is_loopback(&self) -> bool {
        self.flags & IFF_LOOPBACK != 0
    }

    /// Whether it is up.
    pub(super) fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & TYPE_MASK, value))
    })
}

/// Reads `rtnl_link_stats64`, which begins with packets received and sent, then bytes.
fn counters(value: &[u8]) -> [u64; 4] {
    let at = |number: usize| {
        let bytes = value.get(number * 8..number * 8 + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    };
    [at(2), at(0), at(3), at(1)]
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into()),
        AF_INET6 => <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn mac(bytes: &[u8]) -> String {
    let octets: Vec<String> = bytes.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn ethernet(inner: &[u8]) -> Link {
        let mut payload = link_header(2, IFF_UP, 0);
        payload.extend(attribute(IFLA_IFNAME, b"eth0\0"));
        payload.extend(attribute(IFLA_ADDRESS, &[0, 0x16, 0x3e, 1, 2, 3]));
        payload.extend(attribute(IFLA_MTU, &1500_u32.to_ne_bytes()));
        payload.extend(attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, b"veth\0")));
        payload.extend(inner);
        link(&payload).unwrap()
    }

    #[test]
    fn links_and_addresses_become_interfaces() {
        let mine = Address {
            index: 2,
            family: AF_INET,
            prefix: 24,
            scope: 0,
            address: Ipv4Addr::new(10, 0, 0, 5).into(),
        };
        let read = address(&address_payload(&mine)).unwrap();
        assert_eq!(read, mine);
        let all = interfaces(vec![ethernet(&[])], &[read]);
        assert_eq!((all[0].name.as_str(), all[0].mac.as_str()), ("eth0", "00:16:3e:01:02:03"));
        assert_eq!((all[0].mtu, all[0].up, all[0].loopback), (1500, true, false));
        assert_eq!(all[0].addresses[0].scope, Scope::Global);
    }

    #[test]
    fn a_link_whose_other_side_is_outside_is_not_the_guests_own() {
        assert!(ethernet(&[]).is_guests_own());
        let outside = attribute(IFLA_LINK_NETNSID, &0_u32.to_ne_bytes());
        assert!(!ethernet(&outside).is_guests_own());
    }

    #[test]
    fn packets_are_taken_apart_and_cut_ones_end_there() {
        let mut packet = message(kind::NEW_LINK, 0, 1, &link_header(1, 0, 0));
        packet.extend(message(kind::DONE, 0, 1, &[0; 4]));
        let kinds: Vec<_> = messages(&packet).iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [kind::NEW_LINK, kind::DONE]);
        assert_eq!(messages(&packet[..packet.len() - 1]).len(), 1);
        assert!(messages(&[0; 16]).is_empty());
    }
}
