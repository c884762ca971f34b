//! Descriptors that a program was started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Result, SysError, check};

/// Descriptors 0, 1 and 2 belong to the standard library.
const FIRST: RawFd = 3;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the descriptors from 3 on that follow each other without a gap, and marks them closed on exec.
///
/// Call it first in `main`, before anything else is opened: it takes whatever it finds.
///
/// # Errors
///
/// Conflict when it was called before.
pub fn take_inherited() -> Result<Vec<OwnedFd>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        let kind = io::ErrorKind::AlreadyExists;
        return Err(SysError::message("take", "inherited descriptors", kind, "taken before"));
    }
    let mut taken = Vec::new();
    for number in FIRST.. {
        // SAFETY: the call takes numbers; one that is not open is refused.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        let Ok(flags) = check(i64::from(flags)) else { break };
        // SAFETY: as above.
        let ret =
            unsafe { libc::fcntl(number, libc::F_SETFD, flags as libc::c_int | libc::FD_CLOEXEC) };
        check(i64::from(ret)).map_err(|error| {
            SysError::new("close on exec", format!("descriptor {number}"), error)
        })?;
        // SAFETY: it is open and came with the program, so that nobody in here owns it; the flag above
        // sees to it that it is taken once.
        taken.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    Ok(taken)
}

/// Marks every descriptor from 3 on closed on exec: for a program that hands on nothing but what it means to,
/// whatever its own parent left open in it.
pub fn close_inherited_on_exec() -> Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: the call takes numbers, and closes nothing.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, flags) };
    check(ret).map_err(|error| SysError::new("close on exec", "inherited descriptors", error))?;
    Ok(())
}
