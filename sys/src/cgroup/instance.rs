//! One instance's groups: their life, and the kill of what is in them.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use super::join::Join;
use super::lasting::{LastingTask, lasting};
use super::layout::V1Hierarchy;
use super::tree::{enable_controllers, make_dir};
use super::walk::{Visitor, is_removed, walk};
use super::{v1, v2};
use crate::Context;
use crate::error::{Result, SysError};

const PAYLOAD: &str = "payload";
/// How long a group may stay busy after its last task is gone.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What a guest may make in cgroup2, where every group takes some of the host's memory. systemd in a guest
/// goes some ten levels deep, a manager of containers that runs systemd in them twice that.
const BOUNDS: [(&str, &str); 2] =
    [("cgroup.max.depth", "256"), ("cgroup.max.descendants", "50000")];

/// The groups of one instance, in all hierarchies.
#[derive(Debug, Clone)]
pub struct InstanceCgroup {
    id: String,
    unified: PathBuf,
    pub(super) v1: Vec<(V1Hierarchy, PathBuf)>,
}

impl InstanceCgroup {
    pub(super) fn new(id: &str, unified: PathBuf, v1: Vec<(V1Hierarchy, PathBuf)>) -> Self {
        Self { id: id.to_owned(), unified, v1 }
    }

    /// Returns the instance's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the groups exist.
    pub fn exists(&self) -> bool {
        self.unified.is_dir()
    }

    pub(super) fn create(&self, owner: (u32, u32)) -> Result<()> {
        make_dir(&self.unified)?;
        enable_controllers(&self.unified)?;
        for (name, bound) in BOUNDS {
            v1::write(&self.unified.join(name), bound)?;
        }
        let payload = self.unified.join(PAYLOAD);
        make_dir(&payload)?;
        give(&open(&payload)?, &payload, owner)?;
        for (hierarchy, path) in &self.v1 {
            v1::create(hierarchy, path)?;
            let payload = path.join(PAYLOAD);
            v1::create(hierarchy, &payload)?;
            v1::give(&payload, owner)?;
        }
        Ok(())
    }

    /// Returns the ways into the payload, for the guest's PID 1. Processes that come later enter the same v1
    /// groups, and in cgroup2 one of their own below the payload.
    pub fn join(&self) -> Join {
        Join {
            v1: self.v1.iter().map(|(_, path)| path.join(PAYLOAD).join("cgroup.procs")).collect(),
            v2: self.unified.join(PAYLOAD),
        }
    }

    /// Returns the cgroup2 directory that kill acts on.
    pub fn directory(&self) -> &Path {
        &self.unified
    }

    /// Opens the cgroup2 directory that kill acts on.
    pub fn open(&self) -> Result<OwnedFd> {
        open(&self.unified)
    }

    /// Does something with the cgroup2 directory, which may be removed at any time.
    fn looked_at<T>(&self, removed: T, look: impl FnOnce(OwnedFd) -> Result<T>) -> Result<T> {
        match self.open().and_then(look) {
            Err(error) if is_removed(&error) => Ok(removed),
            outcome => outcome,
        }
    }

    /// Kills everything in the instance; returns at once. An instance without groups has nothing in it.
    pub fn kill(&self) -> Result<()> {
        self.looked_at((), v2::kill)
    }

    /// Waits until no task of the instance runs any more, though some may not be gone yet; `false` when the
    /// time is up.
    pub fn wait_exiting(&self, timeout: Duration) -> Result<bool> {
        self.looked_at(true, |dir| v2::wait_exiting(dir, timeout))
    }

    /// Some of the tasks that run on, though they were killed.
    pub fn lasting(&self) -> Result<Vec<LastingTask>> {
        self.looked_at(Vec::new(), lasting)
    }

    /// Whether the instance has a process.
    pub fn is_populated(&self) -> Result<bool> {
        self.looked_at(false, v2::is_populated)
    }

    /// Removes the groups in all hierarchies, with whatever the guest made below them. Waits some seconds for
    /// tasks that are on their way out. Goes on after a failure and returns the first.
    ///
    /// # Errors
    ///
    /// `EBUSY` when processes are still in them.
    pub fn remove(&self) -> Result<()> {
        let mut outcome = Ok(());
        for path in std::iter::once(&self.unified).chain(self.v1.iter().map(|(_, path)| path)) {
            let removed = remove_all(path);
            outcome = outcome.and(removed);
        }
        outcome
    }

    /// Returns the directory of a controller and whether it is cgroup2's.
    ///
    /// # Errors
    ///
    /// Unavailable when the host has the controller nowhere.
    pub(super) fn controller(&self, name: &str) -> Result<(PathBuf, bool)> {
        let in_v1 = self.v1.iter().find(|(h, _)| h.controllers.iter().any(|c| c == name));
        if let Some((_, path)) = in_v1 {
            return Ok((path.clone(), false));
        }
        let available = v1::read(&self.unified.join("cgroup.controllers"))?;
        if available.split_whitespace().any(|controller| controller == name) {
            return Ok((self.unified.clone(), true));
        }
        let kind = io::ErrorKind::Unsupported;
        let text = "this host has no such cgroup controller";
        Err(SysError::message("use controller", name, kind, text))
    }
}

/// Gives a cgroup2 directory, with the files that the kernel means to be delegated, to a user.
fn give(dir: &OwnedFd, path: &Path, owner: (u32, u32)) -> Result<()> {
    const COMMON: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
    rustix::fs::fchown(dir, uid, gid).op("give away", path.display())?;
    for name in listed.as_deref().unwrap_or(COMMON).lines() {
        match rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW) {
            // A file of a controller that is not here.
            Err(rustix::io::Errno::NOENT) => {}
            outcome => outcome.op("give away", path.join(name).display())?,
        }
    }
    Ok(())
}

pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).op("open", path.display())
}

/// Removes a group and those below it, the lowest first; one that is not there is fine.
pub(super) fn remove_all(path: &Path) -> Result<()> {
    match open(path) {
        Err(error) if error.is(libc::ENOENT) => return Ok(()),
        dir => walk(dir?, path, &mut Removal { path })?,
    };
    remove_one(path, || std::fs::remove_dir(path))
}

/// Removes groups as a walk leaves them.
struct Removal<'p> {
    path: &'p Path,
}

impl Visitor for Removal<'_> {
    fn enter(&mut self, _: BorrowedFd<'_>) -> Result<bool> {
        Ok(true)
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        remove_one(self.path, || Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?))
    }
}

/// `path` is that of the group itself or of one above it.
fn remove_one(path: &Path, remove: impl Fn() -> io::Result<()>) -> Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    let mut pause = Duration::from_micros(200);
    loop {
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A parent that the kernel has removed meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline =>
            {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            outcome => return outcome.op("remove control group", path.display()),
        }
    }
}
