//! What a plain event loop is made of: epoll, and signals as descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::epoll;
use rustix::time::Timespec;

use crate::Context;
use crate::error::Result;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end.
    Read,
    /// Room to write.
    Write,
    /// Both.
    Both,
    /// Neither: errors and hang-ups only, which always wake.
    Quiet,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
            Self::Write => epoll::EventFlags::OUT,
            Self::Both => epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::OUT,
            Self::Quiet => epoll::EventFlags::empty(),
        }
    }
}

/// What happened to one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The token that it was added with.
    pub token: u64,
    /// There is something to read, or the end.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The other end is gone, or an error waits; reading still returns what is left.
    pub hung_up: bool,
}

/// A set of descriptors that is waited for (level-triggered).
#[derive(Debug)]
pub struct Poller {
    fd: OwnedFd,
}

impl Poller {
    /// Makes an empty set.
    pub fn new() -> Result<Self> {
        Ok(Self { fd: epoll::create(epoll::CreateFlags::CLOEXEC).op("create", "event set")? })
    }

    /// Adds a descriptor; the token comes back with its events.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        epoll::add(&self.fd, fd, epoll::EventData::new_u64(token), interest.flags())
            .op("add to event set", token)
    }

    /// Changes what a descriptor is waited for.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<()> {
        epoll::modify(&self.fd, fd, epoll::EventData::new_u64(token), interest.flags())
            .op("change in event set", token)
    }

    /// Removes a descriptor. Closing all its duplicates does so as well.
    pub fn remove(&self, fd: impl AsFd) -> Result<()> {
        epoll::delete(&self.fd, fd).op("remove from", "event set")
    }

    /// Waits until something happens, or for the time given (`None`: for ever), and fills `events`.
    pub fn wait(&self, events: &mut Vec<Ready>, timeout: Option<Duration>) -> Result<()> {
        events.clear();
        let mut raw = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        let timeout = timeout.map(timespec);
        let count = match epoll::wait(&self.fd, &mut raw, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => 0,
            outcome => outcome.op("wait for", "events")?,
        };
        events.extend(raw[..count].iter().map(|event| {
            // The structure is packed: its fields are copied out.
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: data.u64(),
                readable: flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP),
                writable: flags.contains(epoll::EventFlags::OUT),
                hung_up: flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR),
            }
        }));
        Ok(())
    }
}

/// Signals that come as reads from a descriptor; they stay blocked for the thread that made it.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals (by number) for the calling thread and takes them in here instead.
    ///
    /// Children inherit the mask: see [`crate::process::reset_signals`].
    pub fn take(signals: &[i32]) -> Result<Self> {
        let mut set = SigSet::empty();
        for number in signals {
            set.add(Signal::try_from(*number).op("take signal", number)?);
        }
        set.thread_block().op("block", "signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self { fd: SignalFd::with_flags(&set, flags).op("create", "signal descriptor")? })
    }

    /// Returns the next signal's number; `None` when none waits.
    pub fn read(&mut self) -> Result<Option<i32>> {
        let info = self.fd.read_signal().op("read", "signal descriptor")?;
        Ok(info.map(|info| info.ssi_signo as i32))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
