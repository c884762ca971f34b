//! What a process needs to get into a control group of every hierarchy.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::Context;
use crate::error::Result;

/// The ways into one group: its v1 `cgroup.procs` files and its cgroup2 directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// A `cgroup.procs` of each v1 hierarchy; a process enters by writing `0`.
    pub v1: Vec<PathBuf>,
    /// The cgroup2 directory; a process is born into it (`CLONE_INTO_CGROUP`).
    pub v2: PathBuf,
}

/// A [`Join`], opened: it can be handed to a process that sees none of the paths.
#[derive(Debug)]
pub struct OpenJoin {
    /// The v1 `cgroup.procs` files, for writing.
    pub v1: Vec<OwnedFd>,
    /// The cgroup2 directory.
    pub v2: OwnedFd,
}

impl Join {
    /// Opens everything.
    pub fn open(&self) -> Result<OpenJoin> {
        let open = |path: &PathBuf, flags: OFlags| {
            rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
                .op("open", path.display())
        };
        Ok(OpenJoin {
            v1: self.v1.iter().map(|path| open(path, OFlags::WRONLY)).collect::<Result<_>>()?,
            v2: open(&self.v2, OFlags::RDONLY | OFlags::DIRECTORY)?,
        })
    }
}

impl OpenJoin {
    /// Lets the calling process enter the v1 groups.
    ///
    /// The kernel takes milliseconds for this where no hierarchy favours it; do it beside other work.
    pub fn enter_v1(&self) -> Result<()> {
        for procs in &self.v1 {
            rustix::io::write(procs, b"0").op("enter", "control group")?;
        }
        Ok(())
    }
}
