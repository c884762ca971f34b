//! A walk over groups that a guest has made: as deep, as wide and as long-named as it likes.
//!
//! So no path is ever put together (the kernel takes 4096 bytes of one), nothing recurses, and one directory
//! at a time is open: the way back is `..`, which in a control group's file system always is the parent.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::Context;
use crate::error::{Result, SysError};

/// What is done at each group below the one where a walk starts, and at that one itself.
pub(super) trait Visitor {
    /// Comes before what is below the group; `false` ends the walk.
    fn enter(&mut self, group: BorrowedFd<'_>) -> Result<bool>;

    /// Comes after what is below the group, which is `name` in `parent`; not for the first one.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CString) -> Result<()>;
}

/// Goes through a group and all below it; returns whether it came to the end. Groups that vanish meanwhile are
/// passed over. `path` is for errors: it says where the walk started.
pub(super) fn walk(start: OwnedFd, path: &Path, visitor: &mut dyn Visitor) -> Result<bool> {
    let Some((mut here, names)) = arrive(start, path, visitor)? else { return Ok(false) };
    // What is still to be done on each level; the last one of a level is where the next level is.
    let mut levels = vec![names];
    while let Some(level) = levels.last() {
        let at = here.fd().op("list", path.display())?;
        if let Some(name) = level.last() {
            match open_at(at, name) {
                Ok(below) => {
                    let Some((below, names)) = arrive(below, path, visitor)? else {
                        return Ok(false);
                    };
                    here = below;
                    levels.push(names);
                }
                Err(Errno::NOENT | Errno::NODEV) => {
                    levels.last_mut().and_then(Vec::pop);
                }
                Err(error) => return Err(error).op("open a group below", path.display()),
            }
            continue;
        }
        levels.pop();
        let Some(name) = levels.last_mut().and_then(Vec::pop) else { break };
        let parent = open_at(at, c"..").op("go back up to", path.display())?;
        here = Dir::new(parent).op("list", path.display())?;
        visitor.leave(here.fd().op("list", path.display())?, &name)?;
    }
    Ok(true)
}

/// Visits a group and lists those in it; `None` when the visitor has seen enough.
fn arrive(
    group: OwnedFd,
    path: &Path,
    visitor: &mut dyn Visitor,
) -> Result<Option<(Dir, Vec<CString>)>> {
    let mut dir = Dir::new(group).op("list", path.display())?;
    match visitor.enter(dir.fd().op("list", path.display())?) {
        Ok(false) => return Ok(None),
        // There is nothing below it.
        Err(error) if is_removed(&error) => return Ok(Some((dir, Vec::new()))),
        outcome => outcome?,
    };
    let mut names = Vec::new();
    while let Some(entry) = dir.read() {
        let entry = match entry {
            // Removed under the list, by the guest or by the kernel's own tear-down of it.
            Err(Errno::NODEV | Errno::NOENT) => break,
            outcome => outcome.op("list a group below", path.display())?,
        };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(Some((dir, names)))
}

/// Whether a failure says that the group was removed after it had been opened: its files cannot be opened any
/// more, and those that were open do not answer.
pub(super) fn is_removed(error: &SysError) -> bool {
    error.is(libc::ENOENT) || error.is(libc::ENODEV)
}

pub(super) fn open_at(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}
