//! Signals to more than one process.

use std::io;

use crate::error::{Result, SysError, check};

/// Sends a signal, of any number, to every process of a group.
///
/// The group's leader must be a child of the caller that is not reaped yet: only then is its number known
/// to be the same group still.
///
/// # Errors
///
/// Invalid for 0 and for less: they would mean the caller's own group, or everyone.
pub fn signal_group(leader: i32, signal: i32) -> Result<()> {
    let object = || format!("process group {leader} with {signal}");
    if leader <= 1 {
        let kind = io::ErrorKind::InvalidInput;
        return Err(SysError::message("signal", object(), kind, "not a process group"));
    }
    // SAFETY: the call takes numbers.
    let ret = unsafe { libc::kill(-leader, signal) };
    check(i64::from(ret)).map(drop).map_err(|error| SysError::new("signal", object(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_group_is_refused() {
        for leader in [-1, 0, 1] {
            assert_eq!(signal_group(leader, 0).unwrap_err().kind(), crate::ErrorKind::Invalid);
        }
    }
}
