//! Unix sockets whose messages keep their bounds and carry descriptors (SOCK_SEQPACKET).
//!
//! Every call may be used on a non-blocking socket: an error whose `would_block()` is true then says that
//! the event loop has to wait.

mod listener;

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    sockopt,
};

use crate::Context;
use crate::error::{Result, SysError};

pub use listener::Listener;

/// The longest message that a default socket buffer takes.
pub const MESSAGE_MAX: usize = 190_000;
/// The most descriptors in one message.
pub const DESCRIPTORS_MAX: usize = 253;
/// The longest socket path, its end mark not counted.
pub const PATH_MAX: usize = 107;

/// Whether calls wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// They wait.
    Yes,
    /// They return an error whose `would_block()` is true.
    No,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process when it connected or listened; may be gone by now.
    pub pid: i32,
    /// Its effective uid.
    pub uid: u32,
    /// Its effective gid.
    pub gid: u32,
}

/// A message as it came.
#[derive(Debug)]
pub struct Message {
    /// The bytes; never empty.
    pub bytes: Vec<u8>,
    /// The descriptors that came along, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

thread_local! {
    /// Where messages are received, whose length is not known before they are there.
    static SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One end of a connection.
#[derive(Debug)]
pub struct Seqpacket {
    fd: OwnedFd,
}

impl Seqpacket {
    /// Connects to a listener.
    ///
    /// # Errors
    ///
    /// `ENOENT` and `ECONNREFUSED` when nobody listens there, `EAGAIN` when too many wait there already;
    /// invalid when the path is too long.
    pub fn connect(path: impl AsRef<Path>, blocking: Blocking) -> Result<Self> {
        let path = path.as_ref();
        let address = address(path)?;
        let fd = socket()?;
        // Before: a listener that accepts nothing would hold up whoever is not to be held up.
        set_blocking(&fd, blocking)?;
        rustix::net::connect(&fd, &address).op("connect to", path.display())?;
        Ok(Self { fd })
    }

    /// Makes two connected ends.
    pub fn pair(blocking: Blocking) -> Result<(Self, Self)> {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .op("create", "socket pair")?;
        let (a, b) = (Self { fd: a }, Self { fd: b });
        a.set_blocking(blocking)?;
        b.set_blocking(blocking)?;
        Ok((a, b))
    }

    /// Takes a descriptor that was handed over.
    ///
    /// # Errors
    ///
    /// Invalid when it is no such socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let kind = sockopt::socket_type(&fd).op("query", "socket")?;
        if kind != SocketType::SEQPACKET {
            let text = "not a seqpacket socket";
            return Err(SysError::message("use", "socket", io::ErrorKind::InvalidInput, text));
        }
        Ok(Self { fd })
    }

    /// Sets whether calls wait.
    pub fn set_blocking(&self, blocking: Blocking) -> Result<()> {
        set_blocking(&self.fd, blocking)
    }

    /// Sends one message, whole.
    ///
    /// # Errors
    ///
    /// Invalid when it is empty, longer than [`MESSAGE_MAX`] or has more than [`DESCRIPTORS_MAX`]
    /// descriptors; `EPIPE` when the other end is closed.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        check_size(bytes.len(), descriptors.len())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(fits, "the space is for as many descriptors as were allowed");
        }
        loop {
            let parts = [IoSlice::new(bytes)];
            match rustix::net::sendmsg(&self.fd, &parts, &mut control, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => return outcome.op("send to", "socket").map(drop),
            }
        }
    }

    /// Receives one message; `None` when the other end is closed.
    ///
    /// # Errors
    ///
    /// `ECONNRESET` when it was closed with messages unread; `EMSGSIZE` for a message longer than
    /// [`MESSAGE_MAX`], which is lost.
    pub fn receive(&self) -> Result<Option<Message>> {
        SPACE.with_borrow_mut(|space| {
            // Zeroed memory that is not touched takes none.
            if space.is_empty() {
                *space = vec![0; MESSAGE_MAX];
            }
            self.receive_into(space)
        })
    }

    fn receive_into(&self, bytes: &mut [u8]) -> Result<Option<Message>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let outcome = loop {
            let mut parts = [IoSliceMut::new(bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.fd, &mut parts, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => break outcome.op("receive from", "socket")?,
            }
        };
        let descriptors = take_descriptors(&mut control);
        if outcome.bytes == 0 {
            return Ok(None);
        }
        let lost = |errno| {
            Err(SysError::new("receive from", "socket", io::Error::from_raw_os_error(errno)))
        };
        if outcome.flags.contains(ReturnFlags::TRUNC) {
            return lost(libc::EMSGSIZE);
        }
        if outcome.flags.contains(ReturnFlags::CTRUNC) {
            // Out of descriptors: those that came are closed with the error.
            return lost(libc::EMFILE);
        }
        Ok(Some(Message { bytes: bytes[..outcome.bytes].to_vec(), descriptors }))
    }

    /// Returns who is at the other end.
    pub fn peer(&self) -> Result<Peer> {
        let credentials = sockopt::socket_peercred(&self.fd).op("query peer of", "socket")?;
        Ok(Peer {
            pid: credentials.pid.as_raw_nonzero().get(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        })
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Seqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Seqpacket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Sets whether reads and writes on any descriptor wait.
pub fn set_blocking(fd: impl AsFd, blocking: Blocking) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd).op("query", "descriptor")?;
    let wanted = match blocking {
        Blocking::Yes => flags.difference(OFlags::NONBLOCK),
        Blocking::No => flags | OFlags::NONBLOCK,
    };
    if wanted == flags {
        return Ok(());
    }
    rustix::fs::fcntl_setfl(&fd, wanted).op("set flags of", "descriptor")
}

fn socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .op("create", "socket")
}

fn address(path: &Path) -> Result<SocketAddrUnix> {
    let length = path.as_os_str().as_bytes().len();
    if length > PATH_MAX {
        let text = format!("{length} bytes, where a socket's path may have {PATH_MAX}");
        let kind = io::ErrorKind::InvalidInput;
        return Err(SysError::message("use socket path", path.display(), kind, text));
    }
    SocketAddrUnix::new(path).op("use socket path", path.display())
}

fn check_size(bytes: usize, descriptors: usize) -> Result<()> {
    let text = if bytes == 0 {
        "an empty message would mean the end".to_owned()
    } else if bytes > MESSAGE_MAX {
        format!("{bytes} bytes, where a message may have {MESSAGE_MAX}")
    } else if descriptors > DESCRIPTORS_MAX {
        format!("{descriptors} descriptors, where a message may have {DESCRIPTORS_MAX}")
    } else {
        return Ok(());
    };
    Err(SysError::message("send", "message", io::ErrorKind::InvalidInput, text))
}

fn take_descriptors(control: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_lost_with_an_error_and_the_next_one_is_read() {
        let (a, b) = Seqpacket::pair(Blocking::Yes).unwrap();
        rustix::net::send(&a, &vec![7; MESSAGE_MAX + 1], SendFlags::empty()).unwrap();
        a.send(b"next", &[]).unwrap();
        assert!(b.receive().unwrap_err().is(libc::EMSGSIZE));
        assert_eq!(b.receive().unwrap().unwrap().bytes, b"next");
    }

    #[test]
    fn messages_keep_their_bounds_and_carry_descriptors() {
        let (a, b) = Seqpacket::pair(Blocking::Yes).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        a.send(b"one", &[null.as_fd(), null.as_fd()]).unwrap();
        a.send(&vec![7; MESSAGE_MAX], &[]).unwrap();
        let first = b.receive().unwrap().unwrap();
        assert_eq!((first.bytes.as_slice(), first.descriptors.len()), (&b"one"[..], 2));
        assert_eq!(b.receive().unwrap().unwrap().bytes.len(), MESSAGE_MAX);
        drop(a);
        assert!(b.receive().unwrap().is_none());
    }

    #[test]
    fn the_greatest_number_of_descriptors_passes_and_one_more_is_refused() {
        let (a, b) = Seqpacket::pair(Blocking::Yes).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let many = vec![null.as_fd(); DESCRIPTORS_MAX + 1];
        a.send(b"x", &many[1..]).unwrap();
        assert_eq!(b.receive().unwrap().unwrap().descriptors.len(), DESCRIPTORS_MAX);
        assert_eq!(a.send(b"x", &many).unwrap_err().kind(), crate::ErrorKind::Invalid);
    }

    #[test]
    fn an_end_that_does_not_wait_says_so() {
        let (_a, b) = Seqpacket::pair(Blocking::No).unwrap();
        assert!(b.receive().unwrap_err().would_block());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(Listener::bind(&path, Blocking::Yes).unwrap());
        let listener = Listener::bind(&path, Blocking::Yes).unwrap();
        let error = Listener::bind(&path, Blocking::Yes).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Conflict);
        // The attempt above has looked whether somebody listens.
        assert!(listener.accept(Blocking::Yes).unwrap().receive().unwrap().is_none());
        let client = Seqpacket::connect(&path, Blocking::Yes).unwrap();
        let server = listener.accept(Blocking::Yes).unwrap();
        assert_eq!(server.peer().unwrap().pid, std::process::id() as i32);
        client.send(b"x", &[]).unwrap();
        assert_eq!(server.receive().unwrap().unwrap().bytes, b"x");
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_in_words() {
        let path = format!("/tmp/{}", "x".repeat(PATH_MAX));
        let error = Seqpacket::connect(path, Blocking::Yes).unwrap_err();
        assert!(error.io().to_string().contains("107"));
    }
}
