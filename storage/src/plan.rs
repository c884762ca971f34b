//! What an agent needs to mount a volume, and the lock that lets only one have it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::lock;

/// How to mount a volume, and the right to do so.
#[derive(Debug)]
pub struct RootPlan {
    /// What the guest's `/` is made of.
    pub root: Root,
    /// Held for as long as the volume is mounted.
    pub lease: Lease,
}

/// What a guest's `/` is made of. Nothing of it is idmapped yet.
#[derive(Debug)]
pub enum Root {
    /// An overlay.
    Overlay {
        /// Read-only layers, the topmost first; never empty.
        lowers: Vec<LayerTree>,
        /// The directory that holds both upper and work, to be cloned and idmapped as one tree.
        writable: PathBuf,
        /// The upper directory's name in `writable`.
        upper: String,
        /// The work directory's name in `writable`.
        work: String,
        /// Mount options beyond the layers, such as `("redirect_dir", "on")`.
        options: Vec<(String, String)>,
    },
    /// One directory.
    Tree {
        /// Where it is.
        path: PathBuf,
    },
}

/// A read-only layer.
#[derive(Debug)]
pub enum LayerTree {
    /// A directory.
    Path(PathBuf),
    /// A detached mount, the caller's own: idmapping it touches nobody else's.
    Fd(OwnedFd),
}

/// The lock on a volume: an exclusive `flock(2)` on its folder.
///
/// It belongs to the open file description: a copy of the descriptor that was passed to an agent
/// keeps the lock for as long as the agent lives, whatever becomes of the daemon. While any copy
/// is open, the volume can be neither planned again nor deleted.
#[derive(Debug)]
pub struct Lease {
    pub(crate) fd: OwnedFd,
}

impl Lease {
    /// Ends the lease at once, for every copy of the descriptor: for a start that came to
    /// nothing. Dropping the lease ends it too, unless a copy is open somewhere.
    pub fn give_up(self) {
        lock::release(&self.fd);
    }
}

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Lease> for OwnedFd {
    fn from(lease: Lease) -> Self {
        lease.fd
    }
}
