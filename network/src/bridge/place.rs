//! The bridge's interface: made or taken up, and brought to what the configuration says.

use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;

use super::Context;
use crate::dns::Files;
use crate::link::Device;
use crate::{BridgeConfig, Mac, NetworkError, Result, sysctl};

/// What a call made, known even when it failed.
#[derive(Debug, Default)]
pub(super) struct Made(AtomicBool);

impl Made {
    pub fn bridge(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Brings the bridge to what the configuration says, making it if it is not there. Returns its index.
pub(super) async fn put(
    config: &BridgeConfig,
    files: &Files,
    context: &Context,
    made: &Made,
) -> Result<u32> {
    let (name, links) = (&config.name, &context.links);
    let found = find_own(name, files, context).await?;
    let held = match &found {
        Some(bridge) => links.addresses(bridge.index).await?,
        None => Vec::new(),
    };
    let wanted: Vec<IpNet> =
        config.ipv4.map(IpNet::from).into_iter().chain(config.ipv6.map(IpNet::from)).collect();
    let except = found.as_ref().map(|bridge| bridge.index);
    check_free(config, &wanted, &held, except, context).await?;
    let bridge = match found {
        Some(bridge) => bridge,
        None => create(config, files, context, made).await?,
    };
    note_owner(&bridge, files, context).await?;
    // Before the addresses: an interface with IPv6 turned off takes none.
    sysctl::prepare_bridge(name, config.ipv6.is_some())?;
    if bridge.mtu != config.mtu {
        links.set_mtu(name, config.mtu).await?;
    }
    for net in held.iter().filter(|net| !wanted.contains(net) && !link_local(net)) {
        links.delete_address(bridge.index, *net).await?;
    }
    for net in &wanted {
        links.add_address(bridge.index, *net).await?;
    }
    links.set_up(name).await?;
    sysctl::enable_forwarding(config.ipv4.is_some(), config.ipv6.is_some())?;
    Ok(bridge.index)
}

/// The bridge of this name if it is ours, which its hardware address tells: the one that the network's
/// folder has noted. Where the folder was lost, its mark does.
pub(super) async fn find_own(
    name: &str,
    files: &Files,
    context: &Context,
) -> Result<Option<Device>> {
    let Some(device) = context.links.get(name).await? else { return Ok(None) };
    let is_ours = match files.own_mac() {
        Some(own) => device.mac == Some(own),
        None => files.mark().is_some_and(|mark| mark == device.alias),
    };
    if device.kind == "bridge" && is_ours {
        return Ok(Some(device));
    }
    Err(NetworkError::ForeignLink { name: name.to_owned() })
}

/// Notes each in the other: the bridge's hardware address in the folder, and on the bridge whose it is.
async fn note_owner(bridge: &Device, files: &Files, context: &Context) -> Result<()> {
    if let Some(mac) = bridge.mac.filter(|_| files.own_mac().is_none()) {
        files.note_mac(mac)?;
    }
    match files.mark() {
        Some(mark) if mark != bridge.alias => context.links.set_alias(&bridge.name, &mark).await,
        _ => Ok(()),
    }
}

async fn create(
    config: &BridgeConfig,
    files: &Files,
    context: &Context,
    made: &Made,
) -> Result<Device> {
    // The same as before the host's restart, so that guests of other hosts need not learn it anew.
    let mac = config.hwaddr.or(files.own_mac()).unwrap_or_else(Mac::random);
    // Noted before the bridge exists, so that a crash leaves none that nobody owns.
    files.note_mac(mac)?;
    context.links.create_bridge(&config.name, mac, config.mtu).await?;
    made.0.store(true, Ordering::Relaxed);
    let device = context.links.get(&config.name).await?;
    device.ok_or_else(|| NetworkError::Netlink {
        op: "look up bridge",
        object: config.name.clone(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// Refuses a subnet that something else on this host is inside of. A wider route around it (a VPN's
/// to all of 10.0.0.0/8) does not hurt: the bridge's own is more exact.
async fn check_free(
    config: &BridgeConfig,
    wanted: &[IpNet],
    held: &[IpNet],
    except: Option<u32>,
    context: &Context,
) -> Result<()> {
    let new: Vec<IpNet> = wanted.iter().filter(|net| !held.contains(net)).copied().collect();
    if new.is_empty() {
        return Ok(());
    }
    let in_use = context.links.in_use(except).await?;
    for net in new {
        let subnet = net.trunc();
        if let Some(other) = in_use.nets.iter().find(|other| subnet.contains(*other)) {
            return Err(NetworkError::SubnetInUse {
                network: config.name.clone(),
                subnet: subnet.to_string(),
                other: other.to_string(),
            });
        }
    }
    Ok(())
}

fn link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(v6) if v6.addr().is_unicast_link_local())
}
