//! Connections of daemons: one is listened to at a time, none is ever waited for.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sc_agent_protocol::{Event, MAX_MESSAGE, Packet, Reply, ToAgent, ToDaemon};
use sc_sys::epoll::{Interest, Poller};
use sc_sys::unix::{Message, Seqpacket};
use serde::Deserialize;

/// A daemon that reads none of this many messages is taken for hung and let go; it may come again.
const MOST_WAITING: usize = 1024;
/// The same of this many bytes.
const MOST_WAITING_BYTES: usize = 4 << 20;

/// One daemon's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Seqpacket,
    token: u64,
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    waiting_bytes: usize,
    /// What it is watched for.
    interest: Interest,
    broken: bool,
}

/// What came over a connection.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request with its descriptors.
    Request(ToAgent, Vec<OwnedFd>),
    /// A request of a kind that this agent does not know.
    Unknown(u64),
    /// Nothing more until the next event.
    Nothing,
    /// The other side is gone, or speaks another language.
    Closed,
}

/// What every request has, of whatever kind.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

impl Connection {
    /// Takes an accepted socket and has it watched under this token.
    pub(crate) fn new(socket: Seqpacket, token: u64, poller: &Poller) -> sc_sys::Result<Self> {
        let interest = Interest::Read;
        poller.add(&socket, token, interest)?;
        let waiting = VecDeque::new();
        Ok(Self { socket, token, waiting, waiting_bytes: 0, interest, broken: false })
    }

    /// Returns the token that it is watched under.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// Takes the next message.
    pub(crate) fn receive(&mut self) -> Incoming {
        let message = match self.socket.receive() {
            Ok(Some(message)) => message,
            Ok(None) => return Incoming::Closed,
            Err(error) if error.would_block() && !self.broken => return Incoming::Nothing,
            Err(_) => return Incoming::Closed,
        };
        let Message { bytes, descriptors } = message;
        if let Ok(request) = ToAgent::decode(&bytes) {
            return Incoming::Request(request, descriptors);
        }
        match serde_json::from_slice::<Numbered>(&bytes) {
            Ok(numbered) => Incoming::Unknown(numbered.id),
            Err(_) => Incoming::Closed,
        }
    }

    /// Sends a reply, or keeps it until the daemon reads again.
    pub(crate) fn reply(&mut self, id: u64, reply: Reply, fds: Vec<OwnedFd>, poller: &Poller) {
        self.send(&ToDaemon::Reply(id, reply), fds, poller);
    }

    /// Sends an event, or keeps it until the daemon reads again.
    pub(crate) fn event(&mut self, event: Event, fds: Vec<OwnedFd>, poller: &Poller) {
        self.send(&ToDaemon::Event(event), fds, poller);
    }

    fn send(&mut self, message: &ToDaemon, fds: Vec<OwnedFd>, poller: &Poller) {
        let bytes = message.encode();
        let is_behind =
            self.waiting.len() >= MOST_WAITING || self.waiting_bytes >= MOST_WAITING_BYTES;
        if bytes.len() > MAX_MESSAGE || is_behind {
            self.give_up();
            return;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back((bytes, fds));
        self.flush(poller);
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self, poller: &Poller) {
        while let Some((bytes, fds)) = self.waiting.front() {
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            match self.socket.send(bytes, &borrowed) {
                Ok(()) => {
                    self.waiting_bytes -= bytes.len();
                    self.waiting.pop_front();
                }
                Err(error) if error.would_block() => break,
                Err(_) => {
                    // What the daemon said last may still be there.
                    self.waiting.clear();
                    self.waiting_bytes = 0;
                    self.give_up();
                }
            }
        }
        let interest = if self.waiting.is_empty() { Interest::Read } else { Interest::Both };
        if interest != self.interest {
            self.interest = interest;
            if poller.modify(&self.socket, self.token, interest).is_err() {
                self.give_up();
            }
        }
    }

    /// Lets the daemon know that it has to come again, and the poller that there is nothing more to come.
    fn give_up(&mut self) {
        self.broken = true;
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    /// Whether all was sent, or can never be.
    pub(crate) fn is_flushed(&self) -> bool {
        self.waiting.is_empty() || self.broken
    }

    /// Whether it cannot be used any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }
}
