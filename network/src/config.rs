//! A network's configuration: the one table of its keys, and a configuration checked against it.

use std::collections::BTreeMap;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{Mac, Result};

/// A configuration as users write it and the API carries it.
pub type ConfigMap = BTreeMap<String, String>;

/// A checked configuration of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeConfig {
    /// The bridge's name.
    pub name: String,
    /// The gateway's IPv4 address with the subnet's prefix; `None` for no IPv4.
    pub ipv4: Option<Ipv4Net>,
    /// The gateway's IPv6 address with the subnet's prefix; `None` for no IPv6.
    pub ipv6: Option<Ipv6Net>,
    /// The bridge's own hardware address.
    pub hwaddr: Mac,
    /// In bytes.
    pub mtu: Option<u32>,
    given: ConfigMap,
}

impl BridgeConfig {
    /// Checks a configuration. Addresses must be chosen already: `auto` is not taken here.
    pub fn parse(name: &str, map: &ConfigMap) -> Result<Self> {
        unimplemented!()
    }

    /// Returns exactly what was given to [`BridgeConfig::parse`].
    pub fn to_map(&self) -> ConfigMap {
        self.given.clone()
    }
}
