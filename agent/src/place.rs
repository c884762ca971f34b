//! Places: what a tree can be attached on.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use sc_sys::resolve::Root;
use sc_sys::{Result, SysError};

/// Makes what a tree can be attached on: a directory for one, a file for anything else.
pub(crate) fn make_place(root: &Root, path: &Path, tree: impl AsFd) -> Result<OwnedFd> {
    let stat = rustix::fs::fstat(tree.as_fd())
        .map_err(|error| SysError::new("query", path.display(), error))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return root.make_dirs(path, 0o755);
    }
    if let Some(folder) = path.parent() {
        root.make_dirs(folder, 0o755)?;
    }
    if !root.exists(path) {
        root.open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::NOCTTY, 0o644)?;
    }
    root.open(path, OFlags::PATH, 0)
}
