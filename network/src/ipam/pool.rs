//! Who has which address.
//!
//! A subnet's range has two parts. Instances get their addresses from the first, lowest free first;
//! the last eighth is what dnsmasq gives to whoever else asks (a nested guest, a hardware address
//! that a guest made up). So neither can take what the other gave.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::eui64;
use crate::{BridgeConfig, Mac, NetworkError, Reservation, ReserveRequest, Result};

/// A range, both ends included.
type Range = (IpAddr, IpAddr);

/// The most addresses that strangers get.
const MAX_DYNAMIC: u128 = 4096;

/// The two parts of a subnet's range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges {
    /// For instances.
    pub fixed: Vec<Range>,
    /// For everyone else who asks.
    pub dynamic: Vec<Range>,
}

impl Ranges {
    /// The ranges of IPv4; `None` if the network gives no IPv4 addresses.
    pub fn ipv4(config: &BridgeConfig) -> Option<Self> {
        let net = config.ipv4.filter(|_| config.ipv4_dhcp)?;
        let mut ranges: Vec<Range> =
            config.ipv4_dhcp_ranges.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        if ranges.is_empty() {
            let first = Ipv4Addr::from(u32::from(net.network()) + 1);
            let last = Ipv4Addr::from(u32::from(net.broadcast()) - 1);
            ranges.push((first.into(), last.into()));
        }
        Some(Self::split(ranges))
    }

    /// The ranges of DHCPv6; `None` if the network gives no IPv6 addresses. Where guests' addresses
    /// follow from their hardware addresses, instances need no range.
    pub fn ipv6(config: &BridgeConfig) -> Option<Self> {
        let net = config.ipv6.filter(|_| config.gives_ipv6())?;
        let mut ranges: Vec<Range> =
            config.ipv6_dhcp_ranges.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        let base = u128::from(net.network());
        let range = |first: u128, last: u128| -> Range {
            (Ipv6Addr::from(base + first).into(), Ipv6Addr::from(base + last).into())
        };
        if ranges.is_empty() && net.prefix_len() <= 64 {
            return Some(Self { fixed: Vec::new(), dynamic: vec![range(0x1_0000, 0x1_0fff)] });
        }
        if ranges.is_empty() {
            let last = u128::from(net.broadcast()) - base;
            ranges.push(range(1.min(last), last.min(0xffff)));
        }
        Some(Self::split(ranges))
    }

    /// Cuts the last eighth off.
    fn split(mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable();
        let size = |range: &Range| number(range.1) - number(range.0) + 1;
        let total: u128 = ranges.iter().map(size).sum();
        let mut wanted = if total < 16 { 0 } else { (total / 8).min(MAX_DYNAMIC) };
        let mut dynamic = Vec::new();
        while wanted > 0 {
            let range = ranges.pop().expect("an eighth is less than the whole");
            if size(&range) <= wanted {
                wanted -= size(&range);
                dynamic.push(range);
            } else {
                let cut = number(range.1) - wanted;
                ranges.push((range.0, like(range.0, cut)));
                dynamic.push((like(range.0, cut + 1), range.1));
                wanted = 0;
            }
        }
        Self { fixed: ranges, dynamic }
    }
}

/// A device of an instance.
type Key = (String, String);

/// The addresses of a network, in memory.
#[derive(Debug)]
pub struct Ipam {
    config: std::sync::Arc<BridgeConfig>,
    held: BTreeMap<Key, Reservation>,
    /// What devices have held before they were given something else, until that is for good: nobody else
    /// gets it, as it may have to be put back.
    replaced: BTreeMap<Key, Reservation>,
    owners: BTreeMap<IpAddr, Key>,
    macs: BTreeMap<Mac, Key>,
}

impl Ipam {
    /// Makes one with nothing reserved.
    pub fn new(config: std::sync::Arc<BridgeConfig>) -> Self {
        let (held, replaced) = Default::default();
        Self { config, held, replaced, owners: BTreeMap::new(), macs: BTreeMap::new() }
    }

    /// Takes these reservations over in place of what was known, as they are.
    pub fn load(&mut self, reservations: Vec<Reservation>) {
        self.held.clear();
        self.replaced.clear();
        self.owners.clear();
        self.macs.clear();
        reservations.into_iter().for_each(|reservation| self.insert(reservation));
    }

    /// The reservation of a device.
    pub fn get(&self, instance: &str, device: &str) -> Option<&Reservation> {
        self.held.get(&(instance.to_owned(), device.to_owned()))
    }

    /// Every reservation.
    pub fn iter(&self) -> impl Iterator<Item = &Reservation> {
        self.held.values()
    }

    /// The device that has this address, as instance and device.
    pub fn owner(&self, address: IpAddr) -> Option<(&str, &str)> {
        self.owners.get(&address).map(|(instance, device)| (instance.as_str(), device.as_str()))
    }

    /// Whether a device has this hardware address.
    pub fn holds(&self, mac: Mac) -> bool {
        self.macs.contains_key(&mac)
    }

    /// Chooses and holds addresses; what the device has held before stays its own until [`Ipam::settle`] or
    /// [`Ipam::put_back`]. `leased` tells which hardware address dnsmasq gave an address to.
    pub fn reserve(
        &mut self,
        request: &ReserveRequest,
        leased: &dyn Fn(IpAddr) -> Option<Mac>,
    ) -> Result<Reservation> {
        let key = (request.instance.clone(), request.device.clone());
        if let Some(owner) = self.macs.get(&request.mac).filter(|owner| **owner != key) {
            return Err(self.unavailable(
                request.mac.to_string(),
                format!("{} of {} has this hardware address", owner.1, owner.0),
                true,
            ));
        }
        // What the device holds already is free to itself: it gets the same again.
        let (before, replaced) = self.remove(&key);
        let chosen = self.choose(request, before.as_ref(), leased);
        let (now, first) = match &chosen {
            Ok(reservation) => (Some(reservation.clone()), replaced.or(before)),
            Err(_) => (before, replaced),
        };
        if let Some(first) = first.filter(|first| now.as_ref() != Some(first)) {
            self.own(&first);
            self.replaced.insert(key, first);
        }
        now.into_iter().for_each(|reservation| self.insert(reservation));
        chosen
    }

    /// What a device has been given is for good; returns what it has had before, if that was another.
    pub fn settle(&mut self, instance: &str, device: &str) -> Option<Reservation> {
        let key = (instance.to_owned(), device.to_owned());
        if !self.replaced.contains_key(&key) {
            return None;
        }
        let (now, replaced) = self.remove(&key);
        now.into_iter().for_each(|reservation| self.insert(reservation));
        replaced.iter().for_each(|replaced| self.pass_on(replaced));
        replaced
    }

    /// Undoes what a device has been given: it holds again what it held `before`.
    pub fn put_back(&mut self, instance: &str, device: &str, before: Option<Reservation>) {
        let (now, _) = self.remove(&(instance.to_owned(), device.to_owned()));
        before.into_iter().for_each(|reservation| self.insert(reservation));
        now.iter().for_each(|given| self.pass_on(given));
    }

    /// Gives a device's addresses back.
    pub fn release(&mut self, instance: &str, device: &str) -> Option<Reservation> {
        let (now, replaced) = self.remove(&(instance.to_owned(), device.to_owned()));
        now.iter().chain(&replaced).for_each(|gone| self.pass_on(gone));
        now
    }

    fn insert(&mut self, reservation: Reservation) {
        self.own(&reservation);
        let key = (reservation.instance.clone(), reservation.device.clone());
        self.held.insert(key, reservation);
    }

    /// Notes whose the addresses of a reservation are. One that another has already, as a database may have it
    /// twice, stays that one's.
    fn own(&mut self, reservation: &Reservation) {
        let key = (reservation.instance.clone(), reservation.device.clone());
        for address in addresses(reservation) {
            self.owners.entry(address).or_insert_with(|| key.clone());
        }
        self.macs.entry(reservation.mac).or_insert(key);
    }

    /// Frees everything of a device; returns what it holds, and what it has held before that was settled.
    fn remove(&mut self, key: &Key) -> (Option<Reservation>, Option<Reservation>) {
        let both = (self.held.remove(key), self.replaced.remove(key));
        for reservation in [&both.0, &both.1].into_iter().flatten() {
            // Only what is its own: a database may have an address twice.
            if self.macs.get(&reservation.mac) == Some(key) {
                self.macs.remove(&reservation.mac);
            }
            for address in addresses(reservation) {
                if self.owners.get(&address) == Some(key) {
                    self.owners.remove(&address);
                }
            }
        }
        both
    }

    /// What a device has no more is another's that has it as well.
    fn pass_on(&mut self, given_up: &Reservation) {
        let shares = |other: &&Reservation| {
            let mut theirs = addresses(other);
            other.mac == given_up.mac || theirs.any(|one| addresses(given_up).any(|a| a == one))
        };
        let others = self.held.values().chain(self.replaced.values());
        let sharing: Vec<Reservation> = others.filter(shares).cloned().collect();
        sharing.iter().for_each(|other| self.own(other));
    }

    fn choose(
        &self,
        request: &ReserveRequest,
        before: Option<&Reservation>,
        leased: &dyn Fn(IpAddr) -> Option<Mac>,
    ) -> Result<Reservation> {
        let same_mac = before.filter(|before| before.mac == request.mac);
        let kept = |address: Option<IpAddr>| {
            address
                .filter(|address| self.fits(*address).is_ok() && !self.owners.contains_key(address))
        };
        let ipv4 = match (request.ipv4, Ranges::ipv4(&self.config)) {
            (Some(wanted), _) => Some(self.explicit(wanted.into(), request.mac, leased)?),
            (None, None) => None,
            (None, Some(ranges)) => {
                let before = before.and_then(|before| before.ipv4).map(IpAddr::from);
                Some(kept(before).map_or_else(|| self.lowest(&ranges), Ok)?)
            }
        };
        let ipv6 = match request.ipv6 {
            Some(wanted) => Some(self.explicit(wanted.into(), request.mac, leased)?),
            None => kept(same_mac.and_then(|before| before.ipv6).map(IpAddr::from))
                .map_or_else(|| self.default_ipv6(request.mac), |kept| Ok(Some(kept)))?,
        };
        Ok(Reservation {
            instance: request.instance.clone(),
            device: request.device.clone(),
            hostname: request.hostname.clone(),
            mac: request.mac,
            ipv4: ipv4
                .and_then(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None }),
            ipv6: ipv6
                .and_then(|address| if let IpAddr::V6(v6) = address { Some(v6) } else { None }),
        })
    }

    /// Takes the address that was asked for, if it can be had.
    fn explicit(
        &self,
        wanted: IpAddr,
        mac: Mac,
        leased: &dyn Fn(IpAddr) -> Option<Mac>,
    ) -> Result<IpAddr> {
        let text = wanted.to_string();
        self.fits(wanted)
            .map_err(|reason| self.unavailable(text.clone(), reason.to_owned(), false))?;
        // The one that a guest makes of its hardware address is known without DHCP.
        let own = |net| eui64(net, mac).map(IpAddr::from) == Some(wanted);
        if wanted.is_ipv6() && !self.config.gives_ipv6() && !self.config.ipv6.is_some_and(own) {
            let reason =
                "the network leaves IPv6 addresses to its guests; set ipv6.dhcp.stateful=true";
            return Err(self.unavailable(text, reason.to_owned(), false));
        }
        if let Some((instance, device)) = self.owner(wanted) {
            return Err(self.unavailable(text, format!("{device} of {instance} has it"), true));
        }
        match leased(wanted).filter(|other| *other != mac) {
            Some(other) => Err(self.unavailable(text, format!("{other} has a lease on it"), true)),
            None => Ok(wanted),
        }
    }

    /// Tells why this network cannot give the address.
    fn fits(&self, address: IpAddr) -> Result<(), &'static str> {
        let net: Option<IpNet> = match address {
            IpAddr::V4(_) if !self.config.ipv4_dhcp => return Err("ipv4.dhcp is off"),
            IpAddr::V4(_) => self.config.ipv4.map(IpNet::from),
            IpAddr::V6(_) => self.config.ipv6.map(IpNet::from),
        };
        let net = net.ok_or("the network has no subnet of this family")?;
        if !net.contains(&address) {
            return Err("it lies outside the network's subnet");
        }
        if address == net.addr() {
            return Err("the network itself has it");
        }
        if address == net.network() || address.is_ipv4() && address == net.broadcast() {
            return Err("it is no host's address");
        }
        Ok(())
    }

    fn lowest(&self, ranges: &Ranges) -> Result<IpAddr> {
        let free =
            |address: &IpAddr| !self.owners.contains_key(address) && self.fits(*address).is_ok();
        ranges
            .fixed
            .iter()
            .flat_map(|range| (number(range.0)..=number(range.1)).map(|n| like(range.0, n)))
            .find(free)
            .ok_or_else(|| NetworkError::NoFreeAddress {
                network: self.config.name.clone(),
                subnet: text(&ranges.fixed),
            })
    }

    fn default_ipv6(&self, mac: Mac) -> Result<Option<IpAddr>> {
        let Some(net) = self.config.ipv6 else { return Ok(None) };
        match Ranges::ipv6(&self.config).filter(|ranges| !ranges.fixed.is_empty()) {
            Some(ranges) => self.lowest(&ranges).map(Some),
            None => Ok(eui64(net, mac).map(IpAddr::from)),
        }
    }

    fn unavailable(&self, address: String, reason: String, taken: bool) -> NetworkError {
        NetworkError::AddressUnavailable {
            network: self.config.name.clone(),
            address,
            reason,
            taken,
        }
    }
}

fn addresses(reservation: &Reservation) -> impl Iterator<Item = IpAddr> + use<> {
    reservation.ipv4.map(IpAddr::from).into_iter().chain(reservation.ipv6.map(IpAddr::from))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The address with this number, of the same family as another.
fn like(other: IpAddr, number: u128) -> IpAddr {
    match other {
        IpAddr::V4(_) => {
            Ipv4Addr::from(u32::try_from(number).expect("it lies between two of them")).into()
        }
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

fn text(ranges: &[Range]) -> String {
    let texts: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;
