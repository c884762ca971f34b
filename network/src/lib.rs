//! Managed bridges: the link, its addresses, its firewall table, its DHCP and DNS server, and the
//! interfaces of instances on it.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | (a crate of its own) the table of a network's keys, and a configuration checked against it |
//! | [`ipam`] | subnets, addresses and hardware addresses; pure |
//! | [`link`] | the only caller of rtnetlink |
//! | [`sysctl`] | `/proc/sys/net` |
//! | [`firewall`] | the network's nftables table, and its peace with the tables of others |
//! | `dns` | the network's dnsmasq: started, watched, taken up again, fed |
//! | [`Network`] | one network as a whole |
//! | [`nic`] | what an instance's interface is made of |
//!
//! Everything that a network makes has a name that follows from the network's, so that a start finds
//! what an earlier process left, and [`Network::remove_traces`] takes it away without knowing how far
//! that process came.
//!
//! All of it acts on the network namespace of the calling thread.

#![warn(missing_docs)]
#![cfg(target_os = "linux")]

mod bridge;
mod command;
mod error;
#[cfg(test)]
mod testing;
mod watched;

mod dns;
pub mod firewall;
pub mod ipam;
pub mod link;
pub mod nic;
pub mod sysctl;

pub use bridge::{Context, Network, NetworkState, Place, choose_subnets, pick_free_name};
pub use config::{BridgeConfig, ConfigMap, Mac};
pub use error::{NetworkError, Result};
pub use link::Links;
pub use nic::{
    Lease, LeaseKind, NicRequest, Port, Reservation, ReserveRequest, new_host_name, port_group,
};
pub use sc_api::ErrorKind;
pub use sc_network_config as config;
