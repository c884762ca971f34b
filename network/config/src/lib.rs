//! A network's configuration: the one table of its keys, and a configuration checked against it. The daemon
//! reads networks by it; the command line's help, its completion and the documentation list it.

#![warn(missing_docs)]

mod docs;
mod error;
mod keys;
mod mac;
mod place;
mod value;

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

pub use docs::{docs, honoured};
pub use error::{ConfigError, Result};
pub use keys::{KEYS, Key, Support};
pub use mac::Mac;
pub use sc_api::ConfigMap;

/// Who decides the names that a network's DNS answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsMode {
    /// The daemon, by the names of its instances.
    Managed,
    /// Also DHCP clients, by the names that they send.
    Dynamic,
    /// Nobody: there is no DNS server.
    None,
}

/// A checked configuration of a bridge. [`KEYS`] says what each key means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeConfig {
    /// The bridge's name.
    pub name: String,
    /// The gateway's IPv4 address with the subnet's prefix; `None` for no IPv4.
    pub ipv4: Option<Ipv4Net>,
    /// Whether IPv4 that leaves the network takes the host's address.
    pub ipv4_nat: bool,
    /// Whether the network gives IPv4 addresses.
    pub ipv4_dhcp: bool,
    /// The ranges it gives them from; empty for the whole subnet.
    pub ipv4_dhcp_ranges: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// How long a lease lasts, as dnsmasq writes it.
    pub ipv4_dhcp_expiry: String,
    /// Whether the table accepts the network's own IPv4 traffic.
    pub ipv4_firewall: bool,
    /// The gateway's IPv6 address with the subnet's prefix; `None` for no IPv6.
    pub ipv6: Option<Ipv6Net>,
    /// Whether IPv6 that leaves the network takes the host's address.
    pub ipv6_nat: bool,
    /// Whether the network answers DHCPv6; it sends router advertisements either way.
    pub ipv6_dhcp: bool,
    /// Whether DHCPv6 gives addresses (and not only the DNS server's).
    pub ipv6_dhcp_stateful: bool,
    /// The ranges it gives them from; empty for the whole subnet.
    pub ipv6_dhcp_ranges: Vec<(Ipv6Addr, Ipv6Addr)>,
    /// How long a DHCPv6 lease lasts, as dnsmasq writes it.
    pub ipv6_dhcp_expiry: String,
    /// Whether the table accepts the network's own IPv6 traffic.
    pub ipv6_firewall: bool,
    /// The domain of the instances' names.
    pub dns_domain: String,
    /// The domains that guests complete a bare name with; empty for `dns_domain`.
    pub dns_search: Vec<String>,
    /// Who decides the names.
    pub dns_mode: DnsMode,
    /// The bridge's own hardware address; `None` for one that is made once and kept.
    pub hwaddr: Option<Mac>,
    /// In bytes.
    pub mtu: u32,
    given: ConfigMap,
}

impl BridgeConfig {
    /// Checks a configuration. Addresses must be chosen already (by
    /// `sc_network::choose_subnets`): `auto` is not taken here. An empty value is as
    /// good as none.
    pub fn parse(name: &str, map: &ConfigMap) -> Result<Self> {
        check_name(name)?;
        for (key, value) in map {
            keys::check(key, value)?;
        }
        let values = value::Values(map);
        let config = Self {
            name: name.to_owned(),
            ipv4: values.net("ipv4.address")?,
            ipv4_nat: values.bool("ipv4.nat", false)?,
            ipv4_dhcp: values.bool("ipv4.dhcp", true)?,
            ipv4_dhcp_ranges: values.ranges("ipv4.dhcp.ranges")?,
            ipv4_dhcp_expiry: values.text("ipv4.dhcp.expiry", "1h"),
            ipv4_firewall: values.bool("ipv4.firewall", true)?,
            ipv6: values.net("ipv6.address")?,
            ipv6_nat: values.bool("ipv6.nat", false)?,
            ipv6_dhcp: values.bool("ipv6.dhcp", true)?,
            ipv6_dhcp_stateful: values.bool("ipv6.dhcp.stateful", false)?,
            ipv6_dhcp_ranges: values.ranges("ipv6.dhcp.ranges")?,
            ipv6_dhcp_expiry: values.text("ipv6.dhcp.expiry", "1h"),
            ipv6_firewall: values.bool("ipv6.firewall", true)?,
            dns_domain: values.text("dns.domain", "lxd"),
            dns_search: values.list("dns.search"),
            dns_mode: match values.text("dns.mode", "managed").as_str() {
                "none" => DnsMode::None,
                "dynamic" => DnsMode::Dynamic,
                _ => DnsMode::Managed,
            },
            hwaddr: values.get("bridge.hwaddr").map(str::parse).transpose()?,
            mtu: values.number("bridge.mtu", 1500)?,
            given: map.clone(),
        };
        config.check_together()?;
        Ok(config)
    }

    /// Returns exactly what was given to [`BridgeConfig::parse`].
    pub fn to_map(&self) -> ConfigMap {
        self.given.clone()
    }

    /// Whether DHCPv6 gives addresses.
    pub fn gives_ipv6(&self) -> bool {
        self.ipv6_dhcp && self.ipv6_dhcp_stateful
    }

    /// Whether the network needs a dnsmasq.
    pub fn needs_dnsmasq(&self) -> bool {
        let dns = self.dns_mode != DnsMode::None;
        self.ipv4.is_some() && (self.ipv4_dhcp || dns) || self.ipv6.is_some()
    }

    /// Checks what one key cannot know of another.
    fn check_together(&self) -> Result<()> {
        if let Some(net) = self.ipv4 {
            let host = net.addr();
            if net.prefix_len() > 30 || host == net.network() || host == net.broadcast() {
                return Err(self.wrong("ipv4.address", NO_HOST));
            }
        }
        if let Some(net) = self.ipv6 {
            self.check_ipv6(net)?;
        }
        let ipv4 = self.ipv4.map(|net| outside(&self.ipv4_dhcp_ranges, |a| net.contains(a)));
        self.check_ranges("ipv4.dhcp.ranges", ipv4)?;
        let ipv6 = self.ipv6.map(|net| outside(&self.ipv6_dhcp_ranges, |a| net.contains(a)));
        self.check_ranges("ipv6.dhcp.ranges", ipv6)
    }

    fn check_ipv6(&self, net: Ipv6Net) -> Result<()> {
        if net.addr() == net.network() && net.prefix_len() < 127 {
            return Err(self.wrong("ipv6.address", NO_HOST));
        }
        if net.prefix_len() != 64 && !self.gives_ipv6() {
            let reason = "guests make their own addresses in a /64 only; \
                          set ipv6.dhcp.stateful=true for another prefix";
            return Err(self.wrong("ipv6.address", reason));
        }
        if self.mtu < 1280 {
            return Err(self.wrong("bridge.mtu", "IPv6 needs at least 1280"));
        }
        Ok(())
    }

    /// Checks ranges of which it is known whether one lies outside; of no subnet, `None`, all do.
    fn check_ranges(&self, key: &str, outside: Option<bool>) -> Result<()> {
        if outside.unwrap_or(self.given.contains_key(key)) {
            return Err(self.wrong(key, "lies outside the network's subnet"));
        }
        Ok(())
    }

    fn wrong(&self, key: &str, reason: &str) -> ConfigError {
        let value = self.given.get(key).cloned().unwrap_or_default();
        ConfigError::InvalidValue { key: key.to_owned(), value, reason: reason.to_owned() }
    }
}

const NO_HOST: &str = "must be a host's address in its subnet";

/// Whether any of the ranges ends outside.
fn outside<A: Copy>(ranges: &[(A, A)], contains: impl Fn(&A) -> bool) -> bool {
    ranges.iter().any(|(first, last)| !contains(first) || !contains(last))
}

/// Checks that a name can be an interface's, and part of a table's.
pub fn check_name(name: &str) -> Result<()> {
    let wrong = |reason| Err(ConfigError::InvalidName { name: name.to_owned(), reason });
    if !(2..=15).contains(&name.len()) {
        return wrong("it must have 2 to 15 characters");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return wrong("it must begin with a letter or a digit");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(fits) {
        return wrong("it may have letters, digits, dashes, underscores and dots only");
    }
    // These are folders, not interfaces, under /proc/sys/net/ipv4/conf.
    if matches!(name, "all" | "default" | "lo") {
        return wrong("the kernel uses it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<BridgeConfig> {
        BridgeConfig::parse("scbr0", &map(pairs))
    }

    #[test]
    fn what_was_given_reads_back_and_defaults_stay_out() {
        let given =
            map(&[("ipv4.address", "10.1.2.1/24"), ("user.note", "x"), ("ipv4.nat", "yes")]);
        let config = BridgeConfig::parse("scbr0", &given).unwrap();
        assert_eq!(config.to_map(), given);
        assert!(config.ipv4_nat && config.ipv4_dhcp);
        assert_eq!((config.dns_domain.as_str(), config.mtu, config.ipv6), ("lxd", 1500, None));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = parse(&[("bad.key", "1")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown network key \"bad.key\": see sc network create --help"
        );
        let error = parse(&[("ipv4.adress", "1")]).unwrap_err().to_string();
        assert!(error.ends_with("(did you mean \"ipv4.address\"?)"), "{error}");
        assert!(matches!(parse(&[("user.", "1")]), Err(ConfigError::UnknownKey { .. })));
        assert!(matches!(parse(&[("ipv4", "1")]), Err(ConfigError::UnknownKey { .. })));
    }

    #[test]
    fn the_defaults_of_the_table_are_what_holds() {
        let listed = honoured().filter(|key| !["", "auto"].contains(&key.default));
        let listed: Vec<_> = listed.map(|key| (key.name, key.default)).collect();
        let subnets = [("ipv4.address", "10.0.0.1/24"), ("ipv6.address", "fd42::1/64")];
        let given = parse(&[&subnets[..], &listed[..]].concat()).unwrap();
        let silent = parse(&subnets).unwrap();
        assert_eq!(BridgeConfig { given: silent.given.clone(), ..given }, silent);
    }

    #[test]
    fn known_keys_that_are_not_built_are_refused_with_the_reason() {
        for key in ["fan.type", "tunnel.x.protocol", "security.acls", "ipv4.routes", "raw.dnsmasq"]
        {
            let error = parse(&[(key, "x")]).unwrap_err();
            assert!(matches!(error, ConfigError::UnsupportedKey { .. }), "{error}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for pair in [
            ("ipv4.address", "bogus"),
            ("ipv4.address", "auto"),
            ("ipv4.address", "10.0.0.0/24"),
            ("ipv4.address", "10.0.0.1/32"),
            ("ipv4.address", "10.0.0.1"),
            ("ipv4.nat", "maybe"),
            ("ipv6.address", "fd42::1/80"),
            ("bridge.mtu", "12"),
            ("bridge.hwaddr", "01:00:00:00:00:00"),
            ("dns.domain", "a b"),
            ("dns.mode", "often"),
            ("ipv4.dhcp.expiry", "1 hour"),
            ("ipv4.dhcp.ranges", "10.0.0.2-10.0.0.3"),
            ("bridge.driver", "openvswitch"),
        ] {
            assert!(parse(&[pair]).is_err(), "{pair:?}");
        }
        let both = |ranges| parse(&[("ipv4.address", "10.0.0.1/24"), ("ipv4.dhcp.ranges", ranges)]);
        assert!(both("10.0.0.5-10.0.0.9, 10.0.0.20-10.0.0.30").is_ok());
        assert!(both("10.0.0.9-10.0.0.5").is_err());
        assert!(both("10.0.1.5-10.0.1.9").is_err());
    }

    #[test]
    fn an_address_that_no_network_can_have_is_refused_with_key_value_and_reason() {
        let error = parse(&[("ipv4.address", "224.0.0.1/24")]).unwrap_err().to_string();
        for word in ["ipv4.address", "224.0.0.1/24", "multicast"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(parse(&[("ipv6.address", "fe80::1/64")]).is_err());
    }

    #[test]
    fn none_and_empty_mean_no_address() {
        let config = parse(&[("ipv4.address", "none"), ("ipv6.address", "")]).unwrap();
        assert_eq!((config.ipv4, config.ipv6), (None, None));
        assert!(!config.needs_dnsmasq());
    }

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        for name in ["", "a", "a/b", "..", "sixteen-letters-", "a b", "-x", "all", "ü1"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("scbr0").is_ok());
    }

    #[test]
    fn every_key_stands_once_in_the_table() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
