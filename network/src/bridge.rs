//! One managed bridge as a whole: brought up, taken away.
//!
//! The order of bringing up is the order of need: the interface, what the kernel is told of it, its
//! addresses, the firewall table, and last dnsmasq, which wants the addresses. Taking away goes the
//! other way round and past failures.

mod instances;
mod late;
mod place;
mod ports;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dns::{self, Dnsmasq, Files};
use crate::firewall::{self, Keeper};
use crate::ipam::{Ipam, free_ipv4, free_ipv6};
use crate::link::{Counters, Links};
use crate::{BridgeConfig, ConfigMap, NetworkError, Result};

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
    pub place: Option<Place>,
}

/// Puts a process, by its id, where it belongs.
pub type Place = Arc<dyn Fn(u32) -> io::Result<()> + Send + Sync>;

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
}

/// A managed bridge that is up; cheap to clone. Dropping it leaves everything as it is, dnsmasq
/// included, for the next process to take up; [`Network::stop`] takes it away.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    name: String,
    files: Files,
    context: Context,
    config: Arc<BridgeConfig>,
    ipam: Mutex<Ipam>,
    /// Written while the network comes or goes as a whole, read by what changes one device of it.
    dns: tokio::sync::RwLock<Option<Dnsmasq>>,
    keeper: tokio::sync::Mutex<Option<Keeper>>,
    /// The bridge's; 0 while what stands for the network outside is not whole.
    index: AtomicU32,
    /// The instance and device of each interface of a running instance, by its name on the host.
    ports: Mutex<BTreeMap<String, (String, String)>>,
    /// Devices that have gone lately.
    gone: Mutex<late::Gone>,
}

impl Network {
    /// Brings a network up, or takes up what is already there: bridge, addresses, firewall table,
    /// dnsmasq. `state_dir` is the network's own folder, made if it is missing; every folder above it
    /// must be open to dnsmasq's user (`o+x`). If it fails, what this call made is taken away again.
    pub async fn start(config: BridgeConfig, state_dir: &Path, context: Context) -> Result<Self> {
        let files = Files::new(state_dir);
        let new_folder = !state_dir.exists();
        let made = place::Made::default();
        let started = Self::bring_up(config.clone(), &files, &context, &made).await;
        if started.is_err() && made.bridge() {
            // The first failure is the one to report; what is left is for `remove_traces`.
            let errors = take_away(&config.name, &files, &context).await;
            if !errors.is_empty() {
                tracing::warn!(
                    network = config.name,
                    ?errors,
                    "a failed start was not wholly undone"
                );
            }
        }
        if started.is_err() && new_folder {
            let _ = files.remove_all();
        }
        started
    }

    async fn bring_up(
        config: BridgeConfig,
        files: &Files,
        context: &Context,
        made: &place::Made,
    ) -> Result<Self> {
        files.create()?;
        let config = Arc::new(config);
        let Outside { index, dns, keeper } = put_outside(&config, files, context, made).await?;
        Ok(Self(Arc::new(Inner {
            name: config.name.clone(),
            files: files.clone(),
            context: context.clone(),
            ipam: Mutex::new(Ipam::new(Arc::clone(&config))),
            config,
            dns: tokio::sync::RwLock::new(dns),
            keeper: tokio::sync::Mutex::new(Some(keeper)),
            index: AtomicU32::new(index),
            ports: Mutex::default(),
            gone: Mutex::default(),
        })))
    }

    /// Takes everything away that the network made, its folder too, going on past failures.
    pub async fn stop(&self) -> Result<()> {
        // Held to the end: nobody makes again what is being taken away.
        let mut dns = self.0.dns.write().await;
        if let Some(dnsmasq) = dns.take() {
            dnsmasq.stop().await;
        }
        if let Some(keeper) = self.0.keeper.lock().await.take() {
            keeper.stop().await;
        }
        let Inner { name, files, context, .. } = &*self.0;
        let mut errors = take_away(name, files, context).await;
        errors.extend(files.remove_all().err());
        all_gone(|| format!("network {name}"), errors)
    }

    /// Takes everything away that a network of this name made, in whatever state it was left: the
    /// undo of [`Network::start`] after a crash. An interface of the same name that is not ours stays.
    pub async fn remove_traces(name: &str, state_dir: &Path, context: &Context) -> Result<()> {
        let files = Files::new(state_dir);
        let mut errors = take_away(name, &files, context).await;
        errors.extend(files.remove_all().err());
        all_gone(|| format!("network {name}"), errors)
    }

    /// Its configuration.
    pub fn config(&self) -> &BridgeConfig {
        &self.0.config
    }

    /// What the interface is like at the moment.
    pub async fn state(&self) -> Result<NetworkState> {
        let links = &self.0.context.links;
        let bridge = place::find_own(&self.0.name, &self.0.files, &self.0.context).await?;
        let bridge =
            bridge.ok_or_else(|| NetworkError::BridgeMissing { network: self.0.name.clone() })?;
        let addresses = links.addresses(bridge.index).await?;
        Ok(NetworkState {
            addresses: addresses.iter().map(|net| (net.addr(), net.prefix_len())).collect(),
            counters: bridge.counters,
            hwaddr: bridge.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            mtu: bridge.mtu,
            up: bridge.up,
        })
    }

    fn ipam(&self) -> MutexGuard<'_, Ipam> {
        // Each change of it is whole before it returns: a panic elsewhere leaves nothing half done.
        self.0.ipam.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands for a network outside.
struct Outside {
    /// The bridge's index.
    index: u32,
    dns: Option<Dnsmasq>,
    keeper: Keeper,
}

/// Makes or takes up all that stands for a network outside, and brings it to what the configuration
/// says.
async fn put_outside(
    config: &Arc<BridgeConfig>,
    files: &Files,
    context: &Context,
    made: &place::Made,
) -> Result<Outside> {
    let is_new = files.own_mac().is_none();
    let index = place::put(config, files, context, made).await?;
    if made.bridge() || is_new {
        // One that served an earlier bridge goes on listening for that, and one of a folder that was lost watches
        // what is no more.
        dns::end_leftover(files).await;
    }
    let keeper = Keeper::start(Arc::clone(config), context.clone()).await?;
    match start_dns(config, files, context).await {
        Ok(dns) => Ok(Outside { index, dns, keeper }),
        Err(error) => {
            // Before what it would put in again is taken away.
            keeper.stop().await;
            Err(error)
        }
    }
}

/// Starts or takes up dnsmasq where the network needs one, and ends it where it no longer does.
async fn start_dns(
    config: &BridgeConfig,
    files: &Files,
    context: &Context,
) -> Result<Option<Dnsmasq>> {
    if config.needs_dnsmasq() {
        return Dnsmasq::start(config, files.clone(), context.clone()).await.map(Some);
    }
    dns::end_leftover(files).await;
    Ok(None)
}

/// Takes dnsmasq, firewall table and bridge away, whichever there are; returns what failed. The bridge
/// goes last: once its name is free, another daemon may take it, and the table's with it.
async fn take_away(name: &str, files: &Files, context: &Context) -> Vec<NetworkError> {
    dns::end_leftover(files).await;
    let mut errors = Vec::new();
    let bridge = match place::find_own(name, files, context).await {
        Ok(bridge) => bridge,
        // Whatever bears the name is someone else's: another daemon's bridge, with its table.
        Err(error @ NetworkError::ForeignLink { .. }) => {
            let table = firewall::table_name(name);
            tracing::warn!(network = name, %error, table, "left alone, with any nftables table of its name");
            return errors;
        }
        Err(error) => {
            errors.push(error);
            None
        }
    };
    match firewall::remove(name, context).await {
        // Without the program there was never a table.
        Err(NetworkError::MissingProgram { .. }) | Ok(()) => {}
        Err(error) => errors.push(error),
    }
    if bridge.is_some() {
        errors.extend(context.links.delete(name).await.err());
    }
    errors
}

fn all_gone(what: impl FnOnce() -> String, errors: Vec<NetworkError>) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(NetworkError::Teardown { what: what(), errors })
}

/// The first free interface name of this prefix and a number: `scbr0`, `scbr1` and so on.
pub async fn pick_free_name(links: &Links, prefix: &str) -> Result<String> {
    let taken = links.names_with_prefix(prefix).await?;
    let free =
        (0_u32..).map(|number| format!("{prefix}{number}")).find(|name| !taken.contains(name));
    Ok(free.expect("a host has fewer interfaces than there are numbers"))
}

/// Fills in the addresses of a new network: every address key that is missing or `auto` gets a
/// subnet that is free on this host, with NAT unless that was set.
pub async fn choose_subnets(map: &ConfigMap, links: &Links) -> Result<ConfigMap> {
    let mut chosen = map.clone();
    let open = |key: &str| map.get(key).is_none_or(|value| value.is_empty() || value == "auto");
    let in_use = links.in_use(None).await?;
    let mut choose = |key: &str, nat: &str, net: String| {
        chosen.insert(key.to_owned(), net);
        chosen.entry(nat.to_owned()).or_insert_with(|| "true".to_owned());
    };
    if open("ipv4.address") {
        let net = free_ipv4(&in_use, rand::random())
            .ok_or(NetworkError::NoFreeSubnet { family: "IPv4", key: "ipv4.address" })?;
        choose("ipv4.address", "ipv4.nat", net.to_string());
    }
    if open("ipv6.address") {
        let net = free_ipv6(&in_use, rand::random())
            .ok_or(NetworkError::NoFreeSubnet { family: "IPv6", key: "ipv6.address" })?;
        choose("ipv6.address", "ipv6.nat", net.to_string());
    }
    Ok(chosen)
}

/// An IPv4 address as any other.
fn any(address: Ipv4Addr) -> IpAddr {
    address.into()
}

#[cfg(test)]
mod tests;
