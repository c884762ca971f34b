//! Namespaces: entering, leaving, and user namespaces made to measure.

mod user;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::Context;
use crate::error::{Result, SysError, check};

/// A set of namespaces (`NEWNS`, `NEWUSER`, `NEWPID`, …).
pub use rustix::thread::UnshareFlags as Namespaces;
pub use user::{UserNamespace, owner_uid};

/// Moves the calling thread into new namespaces (unshare(2)).
pub fn unshare(namespaces: Namespaces) -> Result<()> {
    let wanted = namespaces.difference(Namespaces::FILES);
    // SAFETY: only namespaces are asked for; the type's FILES bit, which would split the descriptor
    // table of threads that share it, is cleared.
    unsafe { rustix::thread::unshare_unsafe(wanted) }.op("unshare", names(namespaces))
}

/// Moves the calling thread into the namespace behind a descriptor of `/proc/PID/ns/*`, or into those
/// namespaces of the process behind a pidfd that are in the set.
pub fn enter(fd: impl AsFd, namespaces: Namespaces) -> Result<()> {
    // SAFETY: the call takes numbers and changes this thread's namespaces.
    let ret = unsafe { libc::setns(fd.as_fd().as_raw_fd(), namespaces.bits() as libc::c_int) };
    check(i64::from(ret))
        .map(drop)
        .map_err(|error| SysError::new("enter namespace", names(namespaces), error))
}

/// Names namespaces as the kernel's flags do.
fn names(namespaces: Namespaces) -> String {
    let names: Vec<_> = namespaces.iter_names().map(|(name, _)| name).collect();
    names.join(", ")
}

/// Opens a namespace of the calling thread: "net", "mnt", "user" …
pub fn open_own(kind: &str) -> Result<OwnedFd> {
    open(format!("/proc/thread-self/ns/{kind}"))
}

/// Opens a namespace of a process.
pub fn open_of(pid: i32, kind: &str) -> Result<OwnedFd> {
    open(format!("/proc/{pid}/ns/{kind}"))
}

fn open(path: String) -> Result<OwnedFd> {
    rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .op("open namespace", path)
}
