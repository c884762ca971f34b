//! Networks: managed bridges, and the host's other interfaces as far as a list shows them.

use serde::{Deserialize, Serialize};

use crate::{ConfigMap, NetworkAddress, NetworkCounters, NetworkName, null_default, texts};

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name, and its interface's.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// `bridge` for a managed one; `physical`, `bridge`, `loopback` ... for the host's.
    #[serde(rename = "type")]
    pub network_type: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Whether the daemon made it and looks after it.
    pub managed: bool,
    /// `Created` for a managed one, else empty.
    #[serde(default)]
    pub status: String,
    /// Cluster members that have it.
    #[serde(default, deserialize_with = "null_default")]
    pub locations: Vec<String>,
    /// Paths of what uses it.
    #[serde(default, deserialize_with = "null_default")]
    pub used_by: Vec<String>,
}

/// Creates a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworksPost {
    /// Its name.
    pub name: NetworkName,
    /// `bridge`, or empty for the same.
    #[serde(default, rename = "type")]
    pub network_type: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
}

/// A network's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    /// Its addresses.
    pub addresses: Vec<NetworkAddress>,
    /// What went through it.
    pub counters: NetworkCounters,
    /// Its hardware address.
    pub hwaddr: String,
    /// In bytes.
    pub mtu: u32,
    /// `up` or `down`.
    pub state: String,
    /// `broadcast`, `loopback` ...
    #[serde(rename = "type")]
    pub state_type: String,
}

/// An address that the network gave away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkLease {
    /// The host name.
    pub hostname: String,
    /// The hardware address.
    pub hwaddr: String,
    /// The address.
    pub address: String,
    /// `static`, `dynamic` or `gateway`.
    #[serde(rename = "type")]
    pub lease_type: String,
    /// The cluster member.
    #[serde(default)]
    pub location: String,
}
