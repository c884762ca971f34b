//! The table of keys.

use sc_api::{nearest, quoted};

use crate::value;
use crate::{ConfigError, Result};

/// One key of a bridge's configuration.
#[derive(Debug)]
pub struct Key {
    /// Its name; one that ends in a dot stands for every key that begins so.
    pub name: &'static str,
    /// Whether it is honoured.
    pub support: Support,
    /// What holds where it is not set; empty for nothing.
    pub default: &'static str,
    /// What it is.
    pub text: &'static str,
}

/// Whether a key is honoured.
#[derive(Debug)]
pub enum Support {
    /// Yes; the function tells what is wrong with a value.
    Honoured(fn(&str) -> Result<(), String>),
    /// No, and why.
    Refused(&'static str),
}

use Support::{Honoured, Refused};

const fn yes(
    name: &'static str,
    check: fn(&str) -> Result<(), String>,
    default: &'static str,
    text: &'static str,
) -> Key {
    Key { name, support: Honoured(check), default, text }
}

const fn no(name: &'static str, text: &'static str, reason: &'static str) -> Key {
    Key { name, support: Refused(reason), default: "", text }
}

const BGP: &str = "this server speaks no BGP";
const MAAS: &str = "this server knows no MAAS";
const ACL: &str = "networks have no access control lists";
const ZONE: &str = "there are no network zones";

/// Every key that a bridge has in LXD or Incus.
pub static KEYS: &[Key] = &[
    no("bgp.", "BGP peers and next hops", BGP),
    yes("bridge.driver", value::native, "native", "the kind of bridge: native"),
    no(
        "bridge.external_interfaces",
        "interfaces of the host to put on the bridge",
        "a bridge holds interfaces of instances only",
    ),
    yes(
        "bridge.hwaddr",
        value::mac,
        "",
        "the bridge's hardware address; not set: made once and kept",
    ),
    no(
        "bridge.mode",
        "how the bridge works",
        "the fan is not supported, and standard is the only other mode",
    ),
    yes(
        "bridge.mtu",
        value::mtu,
        "1500",
        "the size of a packet, in bytes, 68 to 65535 (with IPv6 1280 at least)",
    ),
    yes("dns.domain", value::domain, "lxd", "the domain of the instances' names"),
    yes("dns.mode", value::dns_mode, "managed", "who decides the names: managed, dynamic or none"),
    no(
        "dns.nameservers",
        "the DNS servers that guests are told",
        "guests are told the network's own DNS server",
    ),
    yes(
        "dns.search",
        value::domains,
        "",
        "the domains that guests complete a bare name with, commas between; not set: dns.domain",
    ),
    no("dns.zone.forward", "zones of the names", ZONE),
    no("dns.zone.reverse.ipv4", "zone of the IPv4 addresses", ZONE),
    no("dns.zone.reverse.ipv6", "zone of the IPv6 addresses", ZONE),
    no("fan.", "the fan's overlay and underlay", "the fan is not supported"),
    yes(
        "ipv4.address",
        value::net4,
        "auto",
        "the gateway's address and prefix, such as 10.0.3.1/24, none, or (at creation) auto",
    ),
    yes("ipv4.dhcp", value::bool, "true", "whether the network gives IPv4 addresses"),
    yes(
        "ipv4.dhcp.expiry",
        value::expiry,
        "1h",
        "how long a lease lasts: a number with s, m, h, d or w after it, or infinite",
    ),
    no(
        "ipv4.dhcp.gateway",
        "the gateway that guests are told",
        "guests are told the network's own address",
    ),
    yes(
        "ipv4.dhcp.ranges",
        value::ranges4,
        "",
        "FIRST-LAST, with commas between: the ranges that addresses are given from; not set: the subnet",
    ),
    no(
        "ipv4.dhcp.routes",
        "the routes that guests are told",
        "guests are told the default route only",
    ),
    yes(
        "ipv4.firewall",
        value::bool,
        "true",
        "whether the network's own traffic is accepted by a rule",
    ),
    yes(
        "ipv4.nat",
        value::bool,
        "false",
        "whether what leaves the network takes the host's address; set to true where a subnet is chosen",
    ),
    no("ipv4.nat.address", "the address it takes", "the address of the way out is taken"),
    no("ipv4.nat.order", "where the rule stands", "the network has a table of its own"),
    no("ipv4.ovn.ranges", "ranges for OVN", "there are no OVN networks"),
    no(
        "ipv4.routes",
        "further subnets to route to the bridge",
        "a bridge carries its own subnet only",
    ),
    no(
        "ipv4.routing",
        "whether to route in and out",
        "traffic is always routed; leave ipv4.nat off for an inner network",
    ),
    yes(
        "ipv6.address",
        value::net6,
        "auto",
        "the gateway's address and prefix, such as fd42:1:2:3::1/64, none, or (at creation) auto",
    ),
    yes("ipv6.dhcp", value::bool, "true", "whether the network answers DHCPv6"),
    yes(
        "ipv6.dhcp.expiry",
        value::expiry,
        "1h",
        "how long a lease lasts: a number with s, m, h, d or w after it, or infinite",
    ),
    yes(
        "ipv6.dhcp.ranges",
        value::ranges6,
        "",
        "FIRST-LAST, with commas between: the ranges that addresses are given from; not set: the subnet",
    ),
    yes(
        "ipv6.dhcp.stateful",
        value::bool,
        "false",
        "whether DHCPv6 gives addresses; else guests make their own",
    ),
    yes(
        "ipv6.firewall",
        value::bool,
        "true",
        "whether the network's own traffic is accepted by a rule",
    ),
    yes(
        "ipv6.nat",
        value::bool,
        "false",
        "whether what leaves the network takes the host's address; set to true where a subnet is chosen",
    ),
    no("ipv6.nat.address", "the address it takes", "the address of the way out is taken"),
    no("ipv6.nat.order", "where the rule stands", "the network has a table of its own"),
    no("ipv6.ovn.ranges", "ranges for OVN", "there are no OVN networks"),
    no(
        "ipv6.routes",
        "further subnets to route to the bridge",
        "a bridge carries its own subnet only",
    ),
    no(
        "ipv6.routing",
        "whether to route in and out",
        "traffic is always routed; leave ipv6.nat off for an inner network",
    ),
    no("maas.", "subnets in MAAS", MAAS),
    no(
        "raw.dnsmasq",
        "further configuration of dnsmasq",
        "it could turn off what the server relies on",
    ),
    no("security.acls", "access control lists", ACL),
    no("security.acls.", "what the lists do by default", ACL),
    no("tunnel.", "tunnels to other hosts", "tunnels are not supported"),
    yes("user.", value::any, "", "anything, for the user's own use"),
];

/// Checks one key and its value by themselves.
pub(crate) fn check(key: &str, value: &str) -> Result<()> {
    if key.contains(char::is_control) {
        return Err(ConfigError::ControlCharacter { key: key.to_owned() });
    }
    let matches = |known: &&Key| {
        if known.name.ends_with('.') {
            key.len() > known.name.len() && key.starts_with(known.name)
        } else {
            known.name == key
        }
    };
    match KEYS.iter().find(matches).map(|known| &known.support) {
        None => Err(unknown(key)),
        Some(Refused(reason)) => Err(ConfigError::UnsupportedKey { key: key.to_owned(), reason }),
        Some(Honoured(_)) if value.is_empty() => Ok(()),
        Some(Honoured(check)) => check(value).map_err(|reason| ConfigError::InvalidValue {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        }),
    }
}

/// A key that no network has, with what was probably meant.
fn unknown(key: &str) -> ConfigError {
    let names = KEYS.iter().filter(|known| !known.name.ends_with('.'));
    let hint = match nearest(key, names.map(|known| known.name.to_owned())) {
        Some(meant) => format!(" (did you mean {}?)", quoted(&meant)),
        None => ": see sc network create --help".to_owned(),
    };
    ConfigError::UnknownKey { key: key.to_owned(), hint }
}
