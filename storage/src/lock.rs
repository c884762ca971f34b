//! Exclusive `flock(2)`s that bear with copies of their descriptors.
//!
//! A lock belongs to an open file description and ends with its last descriptor. Whenever any
//! thread of this program starts a process, that process has a copy of every descriptor until its
//! exec closes them: for a moment a lock outlives the value that held it. So a lock that is taken
//! is tried again for a little while before it counts as held by somebody.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// The pauses between attempts: a quarter of a second in all.
const PAUSES_MS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Takes the lock; false where somebody else has it and keeps it.
pub(crate) fn exclusive<Fd: AsFd>(fd: Fd) -> Result<bool, Errno> {
    for pause in PAUSES_MS {
        if attempt(&fd)? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(pause));
    }
    attempt(&fd)
}

/// Gives the lock up for every copy of the descriptor, wherever it is.
pub(crate) fn release<Fd: AsFd>(fd: Fd) {
    // Unlocking an open descriptor of a local file cannot fail, and closing it does the same.
    let _ = rustix::fs::flock(fd, FlockOperation::Unlock);
}

fn attempt<Fd: AsFd>(fd: Fd) -> Result<bool, Errno> {
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(err) => Err(err),
    }
}
