//! `clone3` in the manner of fork, for single-threaded programs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::attributes::fork_safe;
use super::child::Child;
use crate::error::{Result, SysError, check};
use crate::namespace::Namespaces;

/// The kernel's value, which is wider than the type that libc has for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What a child is cloned with.
#[derive(Debug, Clone, Copy)]
pub struct CloneOptions<'a> {
    /// The namespaces that it gets anew.
    pub namespaces: Namespaces,
    /// The cgroup2 directory that it is born into.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Makes the child a child of the caller's parent.
    pub as_sibling: bool,
}

impl Default for CloneOptions<'_> {
    fn default() -> Self {
        Self { namespaces: Namespaces::empty(), cgroup: None, as_sibling: false }
    }
}

/// Clones the process; the child runs `body` and never returns from here.
///
/// The child has a copy of everything, as after fork(2). Its exit signal is SIGCHLD.
///
/// # Errors
///
/// `EBUSY` when the process has more than one thread, since the child could then find locks held by
/// threads that it does not have; else what clone3(2) says.
pub fn spawn_child<F>(options: &CloneOptions<'_>, body: F) -> Result<Child>
where
    F: FnOnce() -> std::convert::Infallible,
{
    if !fork_safe()? {
        let busy = io::Error::from_raw_os_error(libc::EBUSY);
        return Err(SysError::new("clone", "process with several threads", busy));
    }
    // SAFETY: the only thread is this one, so that the child's copy of memory is consistent.
    unsafe { clone(options, body) }
}

/// [`spawn_child`] without its check.
///
/// # Safety
///
/// In a process with several threads, `body` may call only what is async-signal-safe.
unsafe fn clone<F>(options: &CloneOptions<'_>, body: F) -> Result<Child>
where
    F: FnOnce() -> std::convert::Infallible,
{
    let mut pidfd: libc::c_int = -1;
    let mut args = libc::clone_args {
        flags: (libc::CLONE_PIDFD as u64) | u64::from(options.namespaces.bits()),
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = options.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    if options.as_sibling {
        args.flags |= libc::CLONE_PARENT as u64;
        args.exit_signal = 0;
    }
    // SAFETY: the arguments are alive and of the size given; without a stack of its own and without
    // CLONE_VM the child continues on a copy of this one.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of_val(&args))
    })
    .map_err(|error| SysError::new("clone", "process", error))?;
    if pid == 0 {
        // Unwinding must not leave this frame: the frames above belong to the parent's copy.
        let _ = catch_unwind(AssertUnwindSafe(body));
        // SAFETY: ends the child without running what the parent has registered for exit.
        unsafe { libc::_exit(101) }
    }
    // SAFETY: the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child::new(pid as i32, pidfd))
}
