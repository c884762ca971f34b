//! What the kernel tells of changes of the host's rules.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::unix::AsyncFd;

use crate::watched::readable;
use crate::{NetworkError, Result};

/// The group of netlink listeners that hear of tables, chains and rules: number 7, as a bit.
const NFTABLES: u32 = 1 << 6;

/// The largest part of the kernel's report that is read at once.
const REPORT: usize = 32 << 10;

/// A socket that hears of changes.
pub(super) struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Listens from now on, in the calling thread's network namespace.
    pub fn listen() -> Result<Self> {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let protocol = Some(netlink::NETFILTER);
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
            bind(&socket, &SocketAddrNetlink::new(0, NFTABLES))?;
            readable(socket)
        };
        open().map(Self).map_err(failed("open"))
    }

    /// Something that can be read and is no socket: the first report ends in an error.
    #[cfg(test)]
    pub fn broken() -> Self {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"report").unwrap();
        Self(readable(read).unwrap())
    }

    /// Returns once a table, a chain or a rule has changed.
    pub async fn next(&self) -> Result<()> {
        loop {
            let mut ready = self.0.readable().await.map_err(failed("wait for"))?;
            if let Ok(changed) = ready.try_io(|fd| Ok(read(fd.get_ref())?))
                && changed.map_err(failed("read from"))?
            {
                return Ok(());
            }
        }
    }

    /// Forgets what has come up to now.
    pub fn drain(&self) {
        while read(self.0.get_ref()).is_ok() {}
    }
}

fn failed(op: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| {
        let object = "netfilter netlink socket".to_owned();
        NetworkError::Netlink { op, object, source }
    }
}

/// Reads one report; whether it tells of a change that counts. The kernel had more to say than it could
/// keep: that counts too.
fn read(socket: &OwnedFd) -> rustix::io::Result<bool> {
    let mut report = vec![0; REPORT];
    match recv(socket, &mut report[..], RecvFlags::empty()) {
        Ok((_, length)) => Ok(tells_of_rules(&report[..length.min(REPORT)])),
        Err(rustix::io::Errno::NOBUFS) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether one of the messages in a report is about a table, a chain or a rule (and none of those about
/// elements of sets, which can be many).
fn tells_of_rules(mut report: &[u8]) -> bool {
    const HEADER: usize = 16;
    /// `NFT_MSG_NEWTABLE` to `NFT_MSG_DELRULE`.
    const RULES: std::ops::RangeInclusive<u8> = 0..=8;
    while let Some(header) = report.first_chunk::<HEADER>() {
        if RULES.contains(&header[4]) {
            return true;
        }
        let [a, b, c, d, ..] = *header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        // Each message begins at a multiple of four.
        let Some(rest) = report.get(length.max(HEADER).next_multiple_of(4)..) else { return false };
        report = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: usize) -> Vec<u8> {
        let mut message = vec![0; (16 + body).next_multiple_of(4)];
        message[..4].copy_from_slice(&u32::try_from(16 + body).unwrap().to_ne_bytes());
        (message[4], message[5]) = (kind, 10);
        message
    }

    #[test]
    fn a_rule_among_elements_of_sets_is_a_change_and_those_alone_are_none() {
        let (element, generation, rule) = (message(12, 33), message(15, 4), message(6, 20));
        assert!(!tells_of_rules(&[element.clone(), generation.clone()].concat()));
        assert!(tells_of_rules(&[element, rule, generation].concat()));
        assert!(!tells_of_rules(b"cut"));
    }
}
