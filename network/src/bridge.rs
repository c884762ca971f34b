//! One managed bridge as a whole.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::link::{Counters, Links};
use crate::{
    AttachedNic, BridgeConfig, ConfigMap, Lease, NicRequest, Reservation, ReserveRequest, Result,
};

/// What every network of a daemon shares.
#[derive(Clone)]
pub struct Context {
    /// The netlink handle.
    pub links: Links,
    /// The program `nft`, by name or path.
    pub nft: PathBuf,
    /// The program `dnsmasq`, by name or path.
    pub dnsmasq: PathBuf,
    /// Called with the process id of each dnsmasq once it runs; puts it into a cgroup.
    pub place: Option<Arc<dyn Fn(u32) -> io::Result<()> + Send + Sync>>,
}

impl Context {
    /// Makes a context with the programs looked up in `PATH` and no cgroup.
    pub fn new(links: Links) -> Self {
        Self { links, nft: "nft".into(), dnsmasq: "dnsmasq".into(), place: None }
    }
}

/// What a network's interface is like at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkState {
    /// Its addresses, with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// What went through it.
    pub counters: Counters,
    /// Its hardware address.
    pub hwaddr: String,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// The names of its ports.
    pub ports: Vec<String>,
    /// The bridge's id as spanning tree has it, such as `8000.00163e123456`.
    pub bridge_id: String,
}

/// A managed bridge that is up. Dropping it leaves everything as it is, dnsmasq included, for the
/// next process to take up; [`Network::stop`] takes it away.
#[derive(Clone)]
pub struct Network(Arc<()>);

impl Network {
    /// Brings a network up, or takes up what is already there: bridge, addresses, firewall table,
    /// dnsmasq. `state_dir` is the network's own folder, made if it is missing, which dnsmasq's user
    /// must be able to reach. If it fails, what this call made is taken away again.
    pub async fn start(config: BridgeConfig, state_dir: &Path, context: Context) -> Result<Self> {
        unimplemented!()
    }

    /// Takes everything away that the network made, going on past failures.
    pub async fn stop(&self) -> Result<()> {
        unimplemented!()
    }

    /// Takes everything away that a network of this name made, in whatever state it was left: the
    /// undo of [`Network::start`] after a crash.
    pub async fn remove_traces(name: &str, state_dir: &Path, context: &Context) -> Result<()> {
        unimplemented!()
    }

    /// Changes the network to a new configuration of the same name; instances stay attached.
    pub async fn apply(&self, config: BridgeConfig) -> Result<()> {
        unimplemented!()
    }

    /// The configuration that is in force.
    pub fn config(&self) -> Arc<BridgeConfig> {
        unimplemented!()
    }

    /// Its name, and its interface's.
    pub fn name(&self) -> String {
        unimplemented!()
    }

    /// Takes over what the daemon's database says is reserved, replacing what was known, and makes
    /// dnsmasq's files agree with it. To be called once after [`Network::start`].
    pub async fn load_reservations(&self, reservations: Vec<Reservation>) -> Result<()> {
        unimplemented!()
    }

    /// Chooses and holds addresses for a device, in memory only: the caller writes the answer down.
    /// A device that has a reservation gets it again unless it asks for other addresses.
    pub fn reserve(&self, request: &ReserveRequest) -> Result<Reservation> {
        unimplemented!()
    }

    /// Gives a device's addresses back and forgets its DHCP entry, its lease and its name. A device
    /// without a reservation is no error.
    pub async fn release(&self, instance: &str, device: &str) -> Result<()> {
        unimplemented!()
    }

    /// Makes a device's interface: the host's end on the bridge, the other end in the network
    /// namespace `netns`, down. DHCP and DNS know it when this returns.
    pub async fn attach(&self, request: &NicRequest, netns: BorrowedFd<'_>) -> Result<AttachedNic> {
        unimplemented!()
    }

    /// Takes a device's interface away, and its name out of DNS; its reservation stays. An interface
    /// that is gone already is no error.
    pub async fn detach(&self, instance: &str, device: &str, host_name: &str) -> Result<()> {
        unimplemented!()
    }

    /// Tells DNS the addresses that a device really has, as its guest shows them. Those outside the
    /// network and those that belong to another device are left out: a guest says what it likes.
    pub async fn set_addresses(
        &self,
        instance: &str,
        device: &str,
        addresses: &[IpAddr],
    ) -> Result<()> {
        unimplemented!()
    }

    /// Every address in use: the gateway's, those reserved, and those that dnsmasq gave to others.
    pub async fn leases(&self) -> Result<Vec<Lease>> {
        unimplemented!()
    }

    /// What the interface is like at the moment.
    pub async fn state(&self) -> Result<NetworkState> {
        unimplemented!()
    }
}

/// The first free interface name among `scbr0`, `scbr1` and so on, for a default network.
pub async fn pick_free_name(links: &Links, prefix: &str) -> Result<String> {
    unimplemented!()
}

/// Fills in the addresses of a new network: every address key that is missing or `auto` gets a
/// subnet that is free on this host, with NAT unless that was set.
pub async fn choose_subnets(map: &ConfigMap, links: &Links) -> Result<ConfigMap> {
    let _: BTreeMap<String, String>;
    unimplemented!()
}
