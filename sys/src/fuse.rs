//! File systems in user space, ended from outside.
//!
//! Who waits for an answer of a FUSE server cannot be killed once the server has read the question. A
//! server that waits for itself therefore never ends, and neither does the pid namespace that it is in:
//! any guest can do that. What helps is to abort the connection, which the kernel offers to the host's
//! root in a file system of its own.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, statat};

use crate::Context;
use crate::error::Result;
use crate::idmap::IdRange;
use crate::mount::NewMount;

/// Aborts all FUSE connections that users of a range of ids have made: whoever waits for an answer gets
/// an error. Returns how many there were; none where the kernel has no FUSE.
pub fn abort(owners: IdRange) -> Result<usize> {
    // The control file system, wherever the host has it mounted, if it has.
    let control = match NewMount::new("fusectl").create() {
        Err(error) if error.is(libc::ENODEV) => return Ok(0),
        mount => {
            openat(mount?, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .op("open", "FUSE connections")?
        }
    };
    let mut aborted = 0;
    for entry in Dir::read_from(&control).op("list", "FUSE connections")? {
        let entry = entry.op("list", "FUSE connections")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        // One that is gone meanwhile needs no end.
        let Ok(stat) = statat(&control, &*name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if owners.contains(stat.st_uid) && abort_one(&control, &name) {
            aborted += 1;
        }
    }
    Ok(aborted)
}

fn abort_one(control: &OwnedFd, name: &str) -> bool {
    let path = format!("{name}/abort");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    openat(control.as_fd(), path, flags, Mode::empty())
        .is_ok_and(|file| File::from(file).write_all(b"1").is_ok())
}
