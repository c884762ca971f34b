//! What v1 hierarchies need beyond a directory.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;

use rustix::io::Errno;

use super::cpus::CpuList;
use super::layout::V1Hierarchy;
use super::v2;
use super::walk::{Visitor, is_removed, open_at};
use crate::Context;
use crate::error::{Result, SysError};
use crate::mount::NewMount;

/// The name of the hierarchy that [`favor_attaches`] mounts.
pub(super) const FAVORING: &str = "sc";

/// Mounts a hierarchy without controllers that asks for quick attaches, out of sight.
///
/// The kernel counts the wish machine-wide: while such a mount exists, a process enters any control group in
/// 0.02 ms instead of 10, and forks and exits pay a little.
pub(super) fn favor_attaches() -> Result<OwnedFd> {
    NewMount::new("cgroup").flag("none").option("name", FAVORING).flag("favordynmods").create()
}

/// Makes a directory below one that exists, ready to take processes.
pub(super) fn create(hierarchy: &V1Hierarchy, path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        outcome => outcome.op("create control group", path.display())?,
    }
    if hierarchy.controllers.iter().any(|controller| controller == "cpuset") {
        inherit_cpuset(path)?;
    }
    Ok(())
}

/// A new cpuset is empty and takes no process until it has processors and memory nodes; one below it, made
/// by the guest, copies them.
fn inherit_cpuset(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if read(&path.join(name))?.trim().is_empty() {
            let value = read(&parent.join(name))?;
            write(&path.join(name), value.trim())?;
        }
    }
    write(&path.join("cgroup.clone_children"), "1")
}

/// Gives a directory to a user, so that a guest may make its own below it; limits stay ours.
pub(super) fn give(path: &Path, owner: (u32, u32)) -> Result<()> {
    for name in ["", "cgroup.procs", "tasks"] {
        let file = if name.is_empty() { path.to_owned() } else { path.join(name) };
        match chown(&file, Some(owner.0), Some(owner.1)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            outcome => outcome.op("give away", file.display())?,
        }
    }
    Ok(())
}

/// Sets the processors of a group and of all below it.
///
/// A group's set must hold those of its children at any time: so first all get the old and the new ones, from
/// the top, then the new ones alone, from the bottom.
pub(super) fn set_cpus(path: &Path, cpus: &CpuList) -> Result<()> {
    for step in [Step::Widen, Step::Narrow] {
        let start = super::instance::open(path)?;
        super::walk::walk(start, path, &mut SetCpus { step, cpus })?;
    }
    replace_cpus(super::instance::open(path)?.as_fd(), |_| cpus.clone())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Widen,
    Narrow,
}

struct SetCpus<'c> {
    step: Step,
    cpus: &'c CpuList,
}

impl Visitor for SetCpus<'_> {
    fn enter(&mut self, group: BorrowedFd<'_>) -> Result<bool> {
        if self.step == Step::Widen {
            replace_cpus(group, |now| now.union(self.cpus))?;
        }
        Ok(true)
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        if self.step == Step::Widen {
            return Ok(());
        }
        match open_at(parent, name) {
            // Removed by the guest meanwhile.
            Err(Errno::NOENT | Errno::NODEV) => Ok(()),
            group => {
                let group = group.op("open control group", name.to_string_lossy())?;
                match replace_cpus(group.as_fd(), |_| self.cpus.clone()) {
                    Err(error) if is_removed(&error) => Ok(()),
                    outcome => outcome,
                }
            }
        }
    }
}

/// Writes a group's set where it is another than the one that is there: the kernel goes through all its
/// tasks, and on some hosts through all processors, at every write.
fn replace_cpus(group: BorrowedFd<'_>, wanted: impl Fn(&CpuList) -> CpuList) -> Result<()> {
    const FILE: &str = "cpuset.cpus";
    let now = CpuList::parse(&v2::read(&group, FILE)?)?;
    let wanted = wanted(&now);
    if wanted == now { Ok(()) } else { v2::write(&group, FILE, &wanted.to_string()) }
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).op("read", path.display())
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| SysError::new("write", format!("{text} to {}", path.display()), error))
}
