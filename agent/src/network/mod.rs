//! The guest's network namespace as it is inside: watched, told, and put back to its beginning when the
//! guest reboots.

mod changes;
mod dump;
mod message;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use sc_agent_protocol::Interface;
use sc_sys::epoll::{Interest, Poller};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::{Result, SysError};

pub(crate) use self::changes::Changes;
use self::dump::Dump;
use self::message::{Address, Link, Received, kind};

/// rtnetlink's number is 0, which is no protocol for the library.
const ROUTE: Option<Protocol> = None;
/// Changes of links, and of addresses of both families (RTMGRP_*).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// A packet of a dump is no longer than this. Buffers of it are not filled with zeros: what nothing is
/// received into costs an agent nothing.
const PACKET: usize = 64 * 1024;
/// The kernel answers at once, unless something holds its lock on all networks.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How often a list is asked for that changes while it is sent. A guest may change its own all the time: then
/// the last one has to do.
const MOST_TRIES: usize = 4;

/// The group that links are in which nobody has put into another.
const NO_GROUP: u32 = 0;
/// The group that links are removed as.
const DOOMED_GROUP: u32 = 0x5c5c;

/// nfnetlink: begin and end of a batch, and the deletion of a table (of all, where none is named).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFTABLES: u16 = 10;
const DELETE_TABLE: u16 = (NFTABLES << 8) | 2;

/// The guest's network.
#[derive(Debug)]
pub(crate) struct Network {
    changes: OwnedFd,
    queries: OwnedFd,
    netfilter: Option<OwnedFd>,
    sequence: u32,
    /// Whether the poller tells of changes.
    listens: bool,
    /// Which links the daemon had brought up before init ran.
    up_at_boot: Vec<u32>,
}

impl Network {
    /// Opens sockets in the guest's network namespace; the agent itself stays in the host's.
    pub(crate) fn open(namespace: BorrowedFd<'_>, own: BorrowedFd<'_>) -> Result<Self> {
        namespace::enter(namespace, Namespaces::NEWNET)?;
        let sockets = open_sockets();
        namespace::enter(own, Namespaces::NEWNET)?;
        let (changes, queries, netfilter) = sockets?;
        let (sequence, listens, up_at_boot) = (0, false, Vec::new());
        Ok(Self { changes, queries, netfilter, sequence, listens, up_at_boot })
    }

    /// Has the poller tell of changes from now on.
    pub(crate) fn listen(&mut self, poller: &Poller, token: u64) -> Result<()> {
        if !self.listens {
            poller.add(&self.changes, token, Interest::Read)?;
            self.listens = true;
        }
        Ok(())
    }

    /// Has the poller tell of no more changes. They are lost once there are many; then all are asked for
    /// anyway.
    pub(crate) fn rest(&mut self, poller: &Poller) {
        self.listens = poller.remove(&self.changes).is_err();
    }

    /// Takes note of what the daemon has plugged in, for [`Network::reset`].
    pub(crate) fn remember(&mut self) -> Result<()> {
        let links = self.links()?;
        self.up_at_boot = links.iter().filter(|link| link.is_up()).map(|link| link.index).collect();
        Ok(())
    }

    /// Reads the changes away; returns whether there were any.
    pub(crate) fn drain(&mut self) -> bool {
        let mut buffer = Vec::with_capacity(PACKET);
        let mut any = false;
        loop {
            buffer.clear();
            match rustix::net::recv(&self.changes, spare_capacity(&mut buffer), RecvFlags::empty())
            {
                // Some were lost, which is a change as well.
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }

    /// Returns the interfaces with their addresses.
    pub(crate) fn interfaces(&mut self) -> Result<Vec<Interface>> {
        let mut links = self.links()?;
        let mut addresses = self.addresses(dump::few_on_each)?;
        dump::choose(&mut links, &mut addresses);
        Ok(message::interfaces(links, &addresses))
    }

    /// Puts the namespace back to how the next boot's init expects it: what the guest has made is removed,
    /// links are down and without addresses, packet filters are empty. All steps are tried; the first error
    /// is returned.
    pub(crate) fn reset(&mut self) -> Result<()> {
        let (own, plugged): (Vec<Link>, Vec<Link>) =
            self.links()?.into_iter().partition(Link::is_guests_own);
        let mut outcome = Ok(());
        let mut keep_first = |result: Result<()>| {
            if outcome.is_ok() {
                outcome = result;
            }
        };
        keep_first(self.remove_links(&own, &plugged));
        for link in &plugged {
            keep_first(self.request(kind::NEW_LINK, &message::link_state(link.index, false)));
        }
        for address in self.addresses(|| |_: &Address| true)? {
            let payload = message::address_payload(&address);
            match self.request(kind::DELETE_ADDRESS, &payload) {
                // A secondary address went with its primary one.
                Err(error) if error.is(Errno::ADDRNOTAVAIL.raw_os_error()) => {}
                result => keep_first(result),
            }
        }
        for link in plugged.iter().filter(|link| self.up_at_boot.contains(&link.index)) {
            let payload = message::link_state(link.index, true);
            self.sequence += 1;
            keep_first(request(&self.queries, self.sequence, kind::NEW_LINK, &payload));
        }
        keep_first(self.flush_filters());
        outcome
    }

    /// Removes links as one group: one by one each takes the kernel tens of milliseconds, and a guest may have
    /// made thousands.
    fn remove_links(&mut self, own: &[Link], others: &[Link]) -> Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        for link in others {
            self.request(kind::NEW_LINK, &message::link_group(link.index, NO_GROUP))?;
        }
        for link in own {
            // It may have gone with the guest.
            let _ = self.request(kind::NEW_LINK, &message::link_group(link.index, DOOMED_GROUP));
        }
        if self.request(kind::DELETE_LINK, &message::link_group(0, DOOMED_GROUP)).is_err() {
            // One that cannot be removed keeps the others; or all have gone by themselves.
            for link in own {
                let _ = self.request(kind::DELETE_LINK, &message::link_header(link.index, 0, 0));
            }
        }
        Ok(())
    }

    fn flush_filters(&self) -> Result<()> {
        // A kernel without nftables has nothing to flush.
        let Some(socket) = &self.netfilter else { return Ok(()) };
        let [high, low] = NFTABLES.to_be_bytes();
        let mut batch = message::message(BATCH_BEGIN, 0, 1, &[0, 0, high, low]);
        batch.extend(message::message(DELETE_TABLE, kind::ACKNOWLEDGE, 2, &[0; 4]));
        batch.extend(message::message(BATCH_END, 0, 3, &[0, 0, high, low]));
        send(socket, &batch)?;
        let mut buffer = Vec::with_capacity(PACKET);
        receive(socket, &mut buffer)?;
        let first = message::messages(&buffer).into_iter().next();
        first.map_or(Ok(()), |answer| check(answer, "flush", "packet filters"))
    }

    fn links(&mut self) -> Result<Vec<Link>> {
        let payload = message::link_header(0, 0, 0);
        self.dump(kind::GET_LINK, &payload, kind::NEW_LINK, || message::link)
    }

    /// Returns those that a filter lets through, made anew for each try.
    fn addresses<F: FnMut(&Address) -> bool>(
        &mut self,
        filter: impl Fn() -> F,
    ) -> Result<Vec<Address>> {
        self.dump(kind::GET_ADDRESS, &[0; 8], kind::NEW_ADDRESS, || {
            let mut filter = filter();
            move |payload: &[u8]| message::address(payload).filter(&mut filter)
        })
    }

    /// Asks for a list; asks again where it has changed meanwhile.
    fn dump<T, R: FnMut(&[u8]) -> Option<T>>(
        &mut self,
        asked: u16,
        payload: &[u8],
        wanted: u16,
        reader: impl Fn() -> R,
    ) -> Result<Vec<T>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let dump = self.dump_once(asked, payload, wanted, &mut reader())?;
            if !dump.was_interrupted || tries == MOST_TRIES {
                return Ok(dump.all);
            }
        }
    }

    fn dump_once<T>(
        &mut self,
        asked: u16,
        payload: &[u8],
        wanted: u16,
        read: &mut impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Dump<T>> {
        self.sequence += 1;
        send(&self.queries, &message::message(asked, kind::DUMP, self.sequence, payload))?;
        let mut buffer = Vec::with_capacity(PACKET);
        let mut dump = Dump::new(self.sequence, wanted);
        while !dump.is_done {
            receive(&self.queries, &mut buffer)?;
            dump.take(&buffer, read).map_err(|errno| failed("list", "network", errno))?;
        }
        Ok(dump)
    }

    fn request(&mut self, kind: u16, payload: &[u8]) -> Result<()> {
        self.sequence += 1;
        request(&self.queries, self.sequence, kind, payload)
    }
}

fn request(socket: &OwnedFd, sequence: u32, kind: u16, payload: &[u8]) -> Result<()> {
    send(socket, &message::message(kind, kind::ACKNOWLEDGE, sequence, payload))?;
    let mut buffer = Vec::with_capacity(PACKET);
    loop {
        receive(socket, &mut buffer)?;
        let answers = message::messages(&buffer);
        // What answers an earlier request, given up, is passed over.
        if let Some(answer) = answers.into_iter().find(|answer| answer.sequence == sequence) {
            return check(answer, "change", "network");
        }
    }
}

fn check(answer: Received<'_>, op: &'static str, object: &str) -> Result<()> {
    match message::error_number(answer.payload) {
        _ if answer.kind != kind::ERROR => Ok(()),
        0 => Ok(()),
        errno => Err(failed(op, object, errno)),
    }
}

fn failed(op: &'static str, object: &str, errno: i32) -> SysError {
    SysError::new(op, object, std::io::Error::from_raw_os_error(errno))
}

fn open_sockets() -> Result<(OwnedFd, OwnedFd, Option<OwnedFd>)> {
    let changes = open(ROUTE, GROUPS, SocketFlags::NONBLOCK)?;
    let queries = open(ROUTE, 0, SocketFlags::empty())?;
    let netfilter = open(Some(netlink::NETFILTER), 0, SocketFlags::empty());
    Ok((changes, queries, netfilter.ok()))
}

fn open(protocol: Option<Protocol>, groups: u32, flags: SocketFlags) -> Result<OwnedFd> {
    let fail = |error: Errno| SysError::new("open", "netlink socket", error);
    let flags = flags | SocketFlags::CLOEXEC;
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let socket = rustix::net::socket_with(family, kind, flags, protocol).map_err(fail)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups)).map_err(fail)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWERS_WITHIN)).map_err(fail)?;
    Ok(socket)
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<()> {
    rustix::net::send(socket, bytes, SendFlags::empty())
        .map(drop)
        .map_err(|error| SysError::new("send to", "netlink socket", error))
}

/// Receives one packet into `buffer`, in place of what was there.
fn receive(socket: &OwnedFd, buffer: &mut Vec<u8>) -> Result<()> {
    loop {
        buffer.clear();
        match rustix::net::recv(socket, spare_capacity(buffer), RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            outcome => {
                return outcome
                    .map(drop)
                    .map_err(|error| SysError::new("receive from", "netlink socket", error));
            }
        }
    }
}
