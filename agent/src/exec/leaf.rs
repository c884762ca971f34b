//! A cgroup of its own for each program started inside: once a guest has enabled controllers in its root
//! cgroup, that is closed to processes.
//!
//! They lie inside the guest's tree, so that `/proc/self/cgroup` reads as the guest expects.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sc_sys::{Result, SysError};

/// A guest may take names away by making them itself; it does not get far.
const ATTEMPTS: usize = 64;
/// As many cgroups as are looked at again; a guest that keeps them from going has them until its end.
const MOST_LINGERING: usize = 256;

/// A cgroup of one program.
#[derive(Debug)]
pub(super) struct Leaf {
    parent: Rc<OwnedFd>,
    name: String,
    fd: OwnedFd,
}

impl Leaf {
    /// Returns its directory.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes and removes them.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    last: u64,
    /// Still in use by what a program has left running.
    lingering: Vec<(Rc<OwnedFd>, String)>,
    /// Whether one was given up since they were looked at last.
    is_due: bool,
}

impl Leaves {
    /// Makes one below the guest's root cgroup.
    pub(super) fn make(&mut self, payload: &Rc<OwnedFd>) -> Result<Leaf> {
        for _ in 0..ATTEMPTS {
            self.last += 1;
            let name = format!(".sc-exec-{}", self.last);
            match rustix::fs::mkdirat(payload.as_fd(), &name, Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(SysError::new("create cgroup", name, error)),
                Ok(()) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    return match rustix::fs::openat(payload.as_fd(), &name, flags, Mode::empty()) {
                        Ok(fd) => Ok(Leaf { parent: Rc::clone(payload), name, fd }),
                        Err(error) => {
                            // Nobody is in it yet.
                            let _ =
                                rustix::fs::unlinkat(payload.as_fd(), &name, AtFlags::REMOVEDIR);
                            Err(SysError::new("open cgroup", name, error))
                        }
                    };
                }
            }
        }
        Err(SysError::new("create cgroup", ".sc-exec", Errno::EXIST))
    }

    /// Gives one up, to be removed at the next [`sweep`](Self::sweep).
    pub(super) fn give_up(&mut self, leaf: &Leaf) {
        self.lingering.push((Rc::clone(&leaf.parent), leaf.name.clone()));
        self.is_due = true;
    }

    /// Removes those that were given up, now or once what runs in them has ended; looked at when a later
    /// program ends. The rest goes with the instance's cgroup.
    pub(super) fn sweep(&mut self) {
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        self.lingering.retain(|(parent, name)| !remove(parent, name));
        let surplus = self.lingering.len().saturating_sub(MOST_LINGERING);
        self.lingering.drain(..surplus);
    }
}

/// Whether it is gone.
fn remove(payload: &OwnedFd, name: &str) -> bool {
    // What the guest has made of it meanwhile (children of its own) is the guest's.
    matches!(rustix::fs::unlinkat(payload, name, AtFlags::REMOVEDIR), Ok(()) | Err(Errno::NOENT))
}
