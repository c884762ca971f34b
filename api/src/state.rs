//! An instance's state: what it uses, and its network as it really is inside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{StatusCode, null_default};

/// An instance's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceState {
    /// The status in words.
    pub status: String,
    /// The status.
    pub status_code: StatusCode,
    /// Its disks.
    #[serde(default, deserialize_with = "null_default")]
    pub disk: BTreeMap<String, DiskUsage>,
    /// Its memory.
    #[serde(default)]
    pub memory: MemoryUsage,
    /// Its interfaces.
    #[serde(default, deserialize_with = "null_default")]
    pub network: BTreeMap<String, NetworkInterfaceState>,
    /// The pid of its first process, 0 when it does not run.
    pub pid: i64,
    /// How many processes it has.
    pub processes: i64,
    /// Its processor time.
    #[serde(default)]
    pub cpu: CpuUsage,
}

/// What a disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiskUsage {
    /// Bytes.
    pub usage: i64,
    /// Bytes; 0 without a quota.
    #[serde(default)]
    pub total: i64,
}

/// What memory is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// At the moment.
    pub usage: i64,
    /// At most so far.
    #[serde(default)]
    pub usage_peak: i64,
    /// The limit; 0 without one.
    #[serde(default)]
    pub total: i64,
    /// Swap at the moment.
    #[serde(default)]
    pub swap_usage: i64,
    /// Swap at most so far.
    #[serde(default)]
    pub swap_usage_peak: i64,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CpuUsage {
    /// Since it started.
    pub usage: i64,
}

/// An interface inside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkInterfaceState {
    /// Its addresses.
    #[serde(default, deserialize_with = "null_default")]
    pub addresses: Vec<NetworkAddress>,
    /// What went through it.
    #[serde(default)]
    pub counters: NetworkCounters,
    /// Its hardware address.
    pub hwaddr: String,
    /// The name of its other end on the host.
    #[serde(default)]
    pub host_name: String,
    /// In bytes.
    pub mtu: u32,
    /// `up` or `down`.
    pub state: String,
    /// `broadcast` or `loopback`.
    #[serde(rename = "type")]
    pub interface_type: String,
}

/// Which family an address is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

/// An address inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAddress {
    /// The family.
    pub family: AddressFamily,
    /// The address.
    pub address: String,
    /// The prefix's length.
    pub netmask: String,
    /// `global`, `link` or `local`.
    pub scope: String,
}

/// What went through an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct NetworkCounters {
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub packets_received: u64,
    pub packets_sent: u64,
    #[serde(default)]
    pub errors_received: u64,
    #[serde(default)]
    pub errors_sent: u64,
    #[serde(default)]
    pub packets_dropped_inbound: u64,
    #[serde(default)]
    pub packets_dropped_outbound: u64,
}
