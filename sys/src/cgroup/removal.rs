//! What a guest has made in its groups is removed before it boots again.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::error::Result;

use super::walk::{Visitor, walk};

/// Removes all groups below one, as they are now: one that is busy stays, and is not waited for.
/// Returns whether none has stayed.
pub fn remove_below(group: impl AsFd) -> bool {
    let mut attempt = Attempt { all_gone: true };
    let walked = super::v2::open_dir(&group, ".")
        .and_then(|start| walk(start, Path::new("control group"), &mut attempt));
    walked.is_ok() && attempt.all_gone
}

/// Removes what can be removed.
struct Attempt {
    all_gone: bool,
}

impl Visitor for Attempt {
    fn enter(&mut self, _: BorrowedFd<'_>) -> Result<bool> {
        Ok(true)
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        let removed = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
        self.all_gone &= matches!(removed, Ok(()) | Err(Errno::NOENT | Errno::NODEV));
        Ok(())
    }
}
