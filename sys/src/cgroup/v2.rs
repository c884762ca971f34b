//! What one does with a cgroup2 directory: kill, see whether anything is in it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::walk::{Visitor, walk};
use crate::Context;
use crate::error::{Result, SysError};
use crate::mount::describe;

/// The kernel's flag of a task that is on its way out and runs no program any more.
const PF_EXITING: u64 = 0x4;
/// How often tasks are looked at.
const PAUSE: Duration = Duration::from_micros(500);

/// Kills everything in a group and below it, forks that race with it included.
pub fn kill(dir: impl AsFd) -> Result<()> {
    write(&dir, "cgroup.kill", "1")
}

/// Whether there is a process in a group or below it.
pub fn is_populated(dir: impl AsFd) -> Result<bool> {
    event(&dir, "populated")
}

/// Waits until every task in a group and below it is on its way out or gone; `false` when the time is up.
///
/// Such a task runs no more of its program, though it may hold its memory and files for some time yet.
pub fn wait_exiting(dir: impl AsFd, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        if all_exiting(&dir)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether every task in a group and below it is on its way out or gone, now.
pub fn all_exiting(dir: impl AsFd) -> Result<bool> {
    if !is_populated(&dir)? {
        return Ok(true);
    }
    walk(open_dir(&dir, ".")?, Path::new("control group"), &mut Exiting)
}

pub(super) fn tasks(group: BorrowedFd<'_>) -> Result<String> {
    read(&group, "cgroup.threads").or_else(|error| {
        // A group in a threaded subtree's invalid state lists processes only.
        if error.is(libc::EOPNOTSUPP) { read(&group, "cgroup.procs") } else { Err(error) }
    })
}

/// A task that is not there any more counts.
pub(super) fn is_exiting(task: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{task}/stat")) else {
        return true;
    };
    // The name, which may hold anything, ends with the last parenthesis; then state, ppid, pgrp, session,
    // tty, tpgid, flags.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let flags = fields.split_whitespace().nth(6).and_then(|flags| flags.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

/// Looks for a task that is not on its way out.
struct Exiting;

impl Visitor for Exiting {
    fn enter(&mut self, group: BorrowedFd<'_>) -> Result<bool> {
        Ok(tasks(group)?.lines().all(is_exiting))
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CString) -> Result<()> {
        Ok(())
    }
}

fn event(dir: &impl AsFd, key: &str) -> Result<bool> {
    let text = read(dir, "cgroup.events")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    Ok(value.is_some_and(|value| value.trim() == "1"))
}

pub(crate) fn open_dir(dir: &impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()).op("open", name.display())
}

pub(super) fn read(dir: &impl AsFd, name: &'static str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()).op("open", name)?;
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).op("read", name)?;
    Ok(text)
}

pub(super) fn write(dir: &impl AsFd, name: &'static str, text: &str) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let object = || format!("{name} of {}", describe(dir));
    let fd = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()).map_err(io::Error::from);
    fd.and_then(|fd| File::from(fd).write_all(text.as_bytes()))
        .map_err(|error| SysError::new("write", object(), error))
}
