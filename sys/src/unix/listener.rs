//! Where connections arrive.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::{SocketAddrUnix, SocketFlags};

use super::{Blocking, Seqpacket, address, set_blocking, socket};
use crate::Context;
use crate::error::{Result, SysError};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that accepts connections at a path.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Listens at a path, in place of a socket there that nobody listens on any more.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` when somebody listens there; invalid when the path is too long.
    pub fn bind(path: impl AsRef<Path>, blocking: Blocking) -> Result<Self> {
        let path = path.as_ref();
        let address = address(path)?;
        let fd = socket()?;
        match rustix::net::bind(&fd, &address) {
            Err(rustix::io::Errno::ADDRINUSE) => {
                remove_stale(path, &address)?;
                rustix::net::bind(&fd, &address).op("listen at", path.display())?;
            }
            bound => bound.op("listen at", path.display())?,
        }
        rustix::net::listen(&fd, BACKLOG).op("listen at", path.display())?;
        set_blocking(&fd, blocking)?;
        Ok(Self { fd })
    }

    /// Takes a listening descriptor that was handed over. It is this process that clients see as their
    /// peer from now on (`SO_PEERCRED` in unix(7)), unless the kernel refuses that.
    pub fn take_over(fd: OwnedFd) -> Self {
        let _ = rustix::net::listen(&fd, BACKLOG);
        Self { fd }
    }

    /// Accepts one connection.
    pub fn accept(&self, blocking: Blocking) -> Result<Seqpacket> {
        let fd = loop {
            match rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => break outcome.op("accept from", "socket")?,
            }
        };
        let socket = Seqpacket { fd };
        socket.set_blocking(blocking)?;
        Ok(socket)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<()> {
    let probe = socket()?;
    match rustix::net::connect(&probe, address) {
        Err(rustix::io::Errno::CONNREFUSED) => {
            std::fs::remove_file(path).op("remove", path.display())
        }
        _ => {
            let used = io::Error::from_raw_os_error(libc::EADDRINUSE);
            Err(SysError::new("listen at", path.display(), used))
        }
    }
}
