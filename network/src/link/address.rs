//! Addresses, routes and neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Links, failed};
use crate::Result;
use crate::ipam::InUse;

impl Links {
    /// The addresses of an interface, with their prefixes.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNet>> {
        let all = self.all_addresses().await?;
        Ok(all.iter().filter(|message| message.header.index == index).filter_map(net).collect())
    }

    /// Adds an address to an interface, usable at once; one that is there already is no error.
    pub async fn add_address(&self, index: u32, net: IpNet) -> Result<()> {
        let mut request =
            self.handle().address().add(index, net.addr(), net.prefix_len()).replace();
        if net.addr().is_ipv6() {
            // Nobody else is on the bridge yet; waiting for duplicates would only keep dnsmasq from
            // listening.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await.map_err(failed("add address", &net.to_string()))
    }

    /// Takes an address from an interface; one that is not there is no error.
    pub async fn delete_address(&self, index: u32, net: IpNet) -> Result<()> {
        let all = self.all_addresses().await?;
        let found = all
            .into_iter()
            .find(|message| message.header.index == index && self::net(message) == Some(net));
        let Some(message) = found else { return Ok(()) };
        let deleted = self.handle().address().del(message).execute().await;
        deleted.map_err(failed("delete address", &net.to_string()))
    }

    /// What this host uses: the subnets of its addresses and the destinations of its routes, those
    /// of the interface `except` left out.
    pub async fn in_use(&self, except: Option<u32>) -> Result<InUse> {
        let addresses = self.all_addresses().await?;
        let addresses = addresses
            .iter()
            .filter(|message| Some(message.header.index) != except)
            .filter_map(net)
            .map(|net| net.trunc());
        let mut nets: Vec<IpNet> = addresses.collect();
        let families = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        for family in families {
            let request = RouteNetlinkMessage::GetRoute(family);
            let routes = self.dump("routes", request, |entry| match entry {
                RouteNetlinkMessage::NewRoute(route) => Some(route),
                _ => None,
            });
            let routes = routes.await?;
            nets.extend(routes.iter().filter_map(|route| destination(route, except)));
        }
        nets.sort_unstable();
        nets.dedup();
        Ok(InUse { nets })
    }

    /// Forgets which hardware address an address had, so that its next owner is asked for anew.
    pub async fn forget_neighbour(&self, index: u32, address: IpAddr) -> Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = index;
        let destination = match address {
            IpAddr::V4(v4) => {
                message.header.family = AddressFamily::Inet;
                NeighbourAddress::Inet(v4)
            }
            IpAddr::V6(v6) => {
                message.header.family = AddressFamily::Inet6;
                NeighbourAddress::Inet6(v6)
            }
        };
        message.attributes.push(NeighbourAttribute::Destination(destination));
        let deleted = self.handle().neighbours().del(message).execute().await;
        match deleted.map_err(failed("forget neighbour", &address.to_string())) {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }

    async fn all_addresses(&self) -> Result<Vec<AddressMessage>> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump("addresses", request, |entry| match entry {
            RouteNetlinkMessage::NewAddress(address) => Some(address),
            _ => None,
        })
        .await
    }
}

/// The interface's own address. On a point-to-point link `Address` is the other side's.
fn net(message: &AddressMessage) -> Option<IpNet> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    IpNet::new(local.or(address)?, message.header.prefix_len).ok()
}

fn destination(route: &RouteMessage, except: Option<u32>) -> Option<IpNet> {
    let by_except = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Oif(index) if Some(*index) == except);
    if route.attributes.iter().any(by_except) {
        return None;
    }
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::from(*v4)),
        RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::from(*v6)),
        _ => None,
    })?;
    IpNet::new(address, route.header.destination_prefix_length).ok()
}
