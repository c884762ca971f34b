//! What interfaces there are.

use futures::TryStreamExt;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::{Links, failed};
use crate::{Mac, Result};

/// What went through an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
}

/// An interface of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, if it has one of six bytes.
    pub mac: Option<Mac>,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// Its kind, such as `bridge` or `veth`; empty for real hardware.
    pub kind: String,
    /// The index of the bridge (or bond) that it is a port of.
    pub controller: Option<u32>,
    /// What went through it.
    pub counters: Counters,
    /// The text that somebody has noted with it, often empty.
    pub alias: String,
}

impl Links {
    /// Returns one interface, or `None` if there is none of this name.
    pub async fn get(&self, name: &str) -> Result<Option<Device>> {
        let found = self.handle().link().get().match_name(name).execute().try_next().await;
        match found.map_err(failed("look up interface", name)) {
            Ok(message) => Ok(message.map(device)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns every interface.
    pub async fn list(&self) -> Result<Vec<Device>> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.dump("interfaces", request, |entry| match entry {
            RouteNetlinkMessage::NewLink(link) => Some(device(link)),
            _ => None,
        })
        .await
    }

    /// Names of the interfaces that begin so.
    pub async fn names_with_prefix(&self, prefix: &str) -> Result<Vec<String>> {
        let names = self.list().await?.into_iter().map(|device| device.name);
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }
}

fn device(message: LinkMessage) -> Device {
    let flags = message.header.flags;
    let mut device = Device {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Device::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::Address(bytes) => device.mac = bytes.try_into().ok().map(Mac),
            LinkAttribute::IfAlias(alias) => device.alias = alias,
            LinkAttribute::Mtu(mtu) => device.mtu = mtu,
            LinkAttribute::Controller(index) => device.controller = Some(index),
            LinkAttribute::Stats64(stats) => {
                device.counters = Counters {
                    bytes_received: stats.rx_bytes,
                    bytes_sent: stats.tx_bytes,
                    packets_received: stats.rx_packets,
                    packets_sent: stats.tx_packets,
                };
            }
            LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| {
                if let LinkInfo::Kind(kind) = info {
                    device.kind = kind_name(&kind);
                }
            }),
            _ => {}
        }
    }
    device
}

fn kind_name(kind: &InfoKind) -> String {
    match kind {
        InfoKind::Other(name) => name.clone(),
        known => known.to_string(),
    }
}
