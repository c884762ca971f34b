//! The instances on a bridge: their addresses, interfaces and names.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::{Network, all_gone, any};
use crate::config::DnsMode;
use crate::dns::{self, Dnsmasq, FileLease, GATEWAY};
use crate::link::Veth;
use crate::{
    BridgeConfig, Lease, LeaseKind, Mac, NetworkError, NicRequest, Port, Reservation,
    ReserveRequest, Result, port_group, sysctl,
};

impl Network {
    /// Takes over what the daemon's database says is reserved and what runs, and makes dnsmasq's files
    /// and the bridge agree with it. To be called once after [`Network::start`].
    pub async fn take_over(&self, reservations: Vec<Reservation>, running: &[Port]) -> Result<()> {
        let dns = self.0.dns.read().await;
        let changed = self.0.files.agree(&reservations, running)?;
        if let Some(dnsmasq) = &*dns {
            if changed {
                dnsmasq.note_removed();
            }
            // Now: a file that was written here is no news when its device is attached.
            dnsmasq.refresh().await?;
        }
        self.ipam().load(reservations);
        self.forget_strays();
        let ports = running.iter().cloned();
        let ports = ports.map(|port| (port.host_name, (port.instance, port.device)));
        self.ports().extend(ports);
        self.plug_in_again(self.index()).await
    }

    /// Chooses and holds addresses for a device, in memory only: the caller writes the answer down, and
    /// then calls [`Network::settle`], or [`Network::put_back`]. A device that has a reservation gets it again
    /// unless it asks for other addresses.
    pub fn reserve(&self, request: &ReserveRequest) -> Result<Reservation> {
        dns::check_host(&request.instance, &request.device, &request.hostname)?;
        self.ipam().reserve(request, &self.leased())
    }

    /// What was reserved for a device is written down: what it had before is free.
    pub fn settle(&self, instance: &str, device: &str) {
        let replaced = self.ipam().settle(instance, device);
        replaced.into_iter().for_each(|replaced| self.forget_late_leases(replaced.mac));
    }

    /// What was reserved for a device is not written down: it holds what it held `before`, if anything.
    pub fn put_back(&self, instance: &str, device: &str, before: Option<Reservation>) {
        self.ipam().put_back(instance, device, before);
    }

    /// Withdraws a device and frees what it holds. A device without a reservation is no error.
    pub async fn release(&self, instance: &str, device: &str) -> Result<()> {
        let withdrawn = self.withdraw(instance, device).await;
        self.free(instance, device);
        withdrawn
    }

    /// Frees what a device holds: from here on somebody else may get its addresses.
    pub fn free(&self, instance: &str, device: &str) {
        let held = self.ipam().release(instance, device);
        held.into_iter().for_each(|held| self.forget_late_leases(held.mac));
    }

    /// Makes dnsmasq and the kernel forget a device: its DHCP entry, its lease and its name. Its addresses stay
    /// its own until [`Network::free`]. dnsmasq takes the lease back within milliseconds after this
    /// returns, or is told again, and before it hears of another holder.
    pub async fn withdraw(&self, instance: &str, device: &str) -> Result<()> {
        let dns = self.0.dns.read().await;
        let files = &self.0.files;
        let mut errors = Vec::new();
        errors.extend(files.remove_names(instance, device).err());
        match files.remove_host(instance, device) {
            Ok(false) => {}
            Ok(true) => dns.iter().for_each(Dnsmasq::note_removed),
            Err(error) => errors.push(error),
        }
        let held = self.ipam().get(instance, device).cloned();
        if let Some(held) = held
            && let Err(error) = self.forget_where(dns.as_ref(), &held).await
        {
            // Nobody is kept from leaving for it: leases are looked for again, and neighbours age.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(network = self.0.name, instance, device, error, "forget who has gone");
        }
        all_gone(|| self.device(instance, device), errors)
    }

    /// Has dnsmasq forget the leases of a device, and the kernel behind which port it was.
    async fn forget_where(&self, dnsmasq: Option<&Dnsmasq>, held: &Reservation) -> Result<()> {
        let mut leases = Ok(());
        if let Some(dnsmasq) = dnsmasq {
            leases = self.forget_leases(dnsmasq, held, Whose::Own).await;
            if leases.is_err() {
                leases = self.forget_leases(dnsmasq, held, Whose::Own).await;
            }
        }
        let index = self.index();
        // Without a bridge nobody is known behind it.
        for address in addresses(held).filter(|_| index != 0) {
            self.0.context.links.forget_neighbour(index, address).await?;
        }
        leases
    }

    /// Makes a device's interface: the host's end on the bridge and up, the other end in the network
    /// namespace `netns`, down. dnsmasq has its files before the interface exists. A bridge that
    /// somebody has taken away is made again, with those plugged in that were.
    pub async fn attach(&self, request: &NicRequest, netns: BorrowedFd<'_>) -> Result<()> {
        let reservation = &request.reservation;
        dns::check_host(&reservation.instance, &reservation.device, &reservation.hostname)?;
        {
            let dns = self.0.dns.read().await;
            if let Some(dnsmasq) = &*dns {
                self.announce(dnsmasq, reservation).await?;
            }
        }
        let device = (reservation.instance.clone(), reservation.device.clone());
        self.ports().insert(request.host_name.clone(), device);
        match self.connect(request, netns).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let (instance, device) = (&reservation.instance, &reservation.device);
                if let Err(left) = self.detach(instance, device, &request.host_name).await {
                    let left = &left as &dyn std::error::Error;
                    tracing::warn!(
                        network = self.0.name,
                        error = left,
                        "a failed attach left something"
                    );
                }
                Err(error)
            }
        }
    }

    /// Takes a device's interface away, and its name out of DNS; its reservation stays. An interface
    /// that is gone already is no error.
    pub async fn detach(&self, instance: &str, device: &str, host_name: &str) -> Result<()> {
        let mut errors = Vec::new();
        self.ports().remove(host_name);
        errors.extend(self.0.files.remove_names(instance, device).err());
        errors.extend(self.0.context.links.delete(host_name).await.err());
        all_gone(|| self.device(instance, device), errors)
    }

    /// What a device has on the network, for messages.
    fn device(&self, instance: &str, device: &str) -> String {
        format!("device {device} of {instance} on network {}", self.0.name)
    }

    /// Tells DNS the addresses that a device really has, as its guest shows them. Those outside the
    /// network and those that belong to another device are left out: a guest says what it likes. As
    /// long as it shows no IPv4 address, its name stands for the one that is reserved. What comes too
    /// late, when the device is detached, is passed over.
    pub fn set_addresses(&self, instance: &str, device: &str, shown: &[IpAddr]) -> Result<()> {
        let config = self.config();
        let (reservation, mut addresses) = {
            let ipam = self.ipam();
            let Some(reservation) = ipam.get(instance, device).cloned() else { return Ok(()) };
            let own = |address: &IpAddr| {
                let ours = on_network(config, *address);
                ours && ipam.owner(*address).is_none_or(|owner| owner == (instance, device))
            };
            let addresses: Vec<IpAddr> = shown.iter().copied().filter(own).collect();
            (reservation, addresses)
        };
        if !addresses.iter().any(IpAddr::is_ipv4) {
            addresses.extend(reservation.ipv4.map(any));
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MOST_ADDRESSES);
        // Held while they are written, so that they do not outlive what `detach` takes out.
        let ports = self.ports();
        if !ports.values().any(|(i, d)| (i.as_str(), d.as_str()) == (instance, device)) {
            return Ok(());
        }
        self.write_names(&reservation, &addresses)
    }

    /// Every address in use: the gateway's, those reserved, and those that dnsmasq gave to others.
    pub async fn leases(&self) -> Result<Vec<Lease>> {
        let config = self.config();
        let lease = |hostname: &str, mac, address, kind| {
            let hostname = hostname.to_owned();
            Lease { hostname, mac, address, kind }
        };
        let gateways = config.ipv4.map(|net| any(net.addr())).into_iter();
        let gateways = gateways.chain(config.ipv6.map(|net| net.addr().into()));
        let mut leases: Vec<Lease> =
            gateways.map(|address| lease(GATEWAY, None, address, LeaseKind::Gateway)).collect();
        let ipam = self.ipam();
        for held in ipam.iter() {
            for address in addresses(held) {
                leases.push(lease(&held.hostname, Some(held.mac), address, LeaseKind::Static));
            }
        }
        for given in self.0.files.read_leases()? {
            if ipam.owner(given.address).is_none() {
                leases.push(lease(&given.hostname, given.mac, given.address, LeaseKind::Dynamic));
            }
        }
        Ok(leases)
    }

    /// Gives dnsmasq what it needs to know of a device before the device asks.
    async fn announce(&self, dnsmasq: &Dnsmasq, reservation: &Reservation) -> Result<()> {
        if self.0.files.write_host(reservation)? {
            // A new reservation: its addresses may have been another's a moment ago. The new file is
            // there already, so reading everything again cannot miss it.
            dnsmasq.refresh().await?;
            self.forget_leases(dnsmasq, reservation, Whose::Others).await?;
        }
        let addresses: Vec<IpAddr> = addresses(reservation).collect();
        self.write_names(reservation, &addresses)
    }

    async fn connect(&self, request: &NicRequest, netns: BorrowedFd<'_>) -> Result<()> {
        let links = &self.0.context.links;
        let host_name = &request.host_name;
        let veth = Veth {
            host_name,
            guest_name: &request.guest_name,
            mac: request.reservation.mac,
            mtu: request.mtu.unwrap_or(self.0.config.mtu),
            bridge: self.index(),
            group: port_group(&self.0.name),
        };
        self.make_pair(veth, netns).await.map_err(|error| self.or_full(error))?;
        // Before it is up, else it makes itself an address.
        sysctl::prepare_port(host_name)?;
        links.set_up(host_name).await
    }

    /// Makes the pair, and the bridge where that is what it fails for: to look before would double what
    /// every start costs the kernel.
    async fn make_pair(&self, mut veth: Veth<'_>, netns: BorrowedFd<'_>) -> Result<()> {
        let links = &self.0.context.links;
        let failed = match veth.bridge {
            // The kernel takes this for "no bridge".
            0 => None,
            _ => match links.create_veth(&veth, netns).await {
                Ok(()) => return Ok(()),
                Err(error) => Some(error),
            },
        };
        self.restore().await?;
        let bridge = self.index();
        match failed {
            Some(error) if bridge == veth.bridge => Err(error),
            _ => {
                veth.bridge = bridge;
                links.create_veth(&veth, netns).await
            }
        }
    }

    /// A bridge has a fixed number of ports, and the kernel's word for it is EXFULL.
    fn or_full(&self, error: NetworkError) -> NetworkError {
        let full = Some(Errno::XFULL.raw_os_error());
        match error {
            NetworkError::Netlink { source, .. } if source.raw_os_error() == full => {
                NetworkError::BridgeFull { bridge: self.0.name.clone() }
            }
            other => other,
        }
    }

    async fn forget_leases(
        &self,
        dnsmasq: &Dnsmasq,
        reservation: &Reservation,
        whose: Whose,
    ) -> Result<()> {
        let gateway = self.config().ipv4.map(|net| any(net.addr()));
        let mut outcome = Ok(());
        for lease in self.0.files.read_leases()? {
            let address = addresses(reservation).any(|address| address == lease.address);
            let forgotten = match (whose, lease.mac) {
                // Whatever its address: dnsmasq gives another when a reserved one is not free yet.
                (Whose::Own, Some(mac)) => mac == reservation.mac,
                (Whose::Others, Some(mac)) => address && mac != reservation.mac,
                // A DHCPv6 lease shows no hardware address; the address that goes with it is its own.
                (Whose::Own, None) => address,
                (Whose::Others, None) => false,
            };
            if forgotten {
                outcome = outcome.and(dnsmasq.forget_lease(&lease, gateway).await);
            }
        }
        if whose == Whose::Own
            && let (Some(address), true) = (reservation.ipv4, gateway.is_some())
        {
            // The guest's last request may wait in dnsmasq's queue: this comes after it.
            let unwritten = FileLease {
                mac: Some(reservation.mac),
                address: address.into(),
                hostname: String::new(),
                client_id: Vec::new(),
            };
            outcome = outcome.and(dnsmasq.forget_lease(&unwritten, gateway).await);
        }
        outcome
    }

    fn write_names(&self, reservation: &Reservation, addresses: &[IpAddr]) -> Result<()> {
        let config = self.config();
        if config.dns_mode == DnsMode::None || !config.needs_dnsmasq() {
            return Ok(());
        }
        self.0.files.write_names(reservation, &config.dns_domain, addresses)
    }

    /// Looks up whom dnsmasq gave an address to.
    fn leased(&self) -> impl Fn(IpAddr) -> Option<Mac> {
        let files = self.0.files.clone();
        move |address| {
            // A file that cannot be read keeps nobody from an address: `attach` looks again.
            let leases = files.read_leases().unwrap_or_default();
            leases.into_iter().find(|lease| lease.address == address).and_then(|lease| lease.mac)
        }
    }
}

/// How many addresses a name stands for. A guest can have thousands, and each answer holds them all; those
/// of IPv4 come first.
const MOST_ADDRESSES: usize = 32;

/// Whose leases on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Others,
}

fn addresses(reservation: &Reservation) -> impl Iterator<Item = IpAddr> + use<> {
    reservation.ipv4.map(any).into_iter().chain(reservation.ipv6.map(IpAddr::from))
}

/// Whether a host of this network can have the address.
fn on_network(config: &BridgeConfig, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => config.ipv4.is_some_and(|net| net.contains(&v4) && net.addr() != v4),
        IpAddr::V6(v6) => config.ipv6.is_some_and(|net| net.contains(&v6) && net.addr() != v6),
    }
}
