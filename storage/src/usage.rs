//! What volumes take and pools have.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::folder;

/// What a volume takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes allocated, hard links counted once.
    pub bytes: u64,
    /// Files, directories and other entries.
    pub entries: u64,
}

/// What a pool's file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes taken, by whatever lies there.
    pub used_bytes: u64,
    /// Inodes in all; 0 where the file system makes them as needed.
    pub total_inodes: u64,
    /// Inodes taken.
    pub used_inodes: u64,
}
/// What a walk has added up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) usage: Usage,
    /// Bytes of files' content, holes not counted: what a copy has to copy.
    pub(crate) content: u64,
}

/// Adds up what lies in a directory, the directory itself not counted.
///
/// What vanishes meanwhile is not an error: the tree may be a running guest's.
pub(crate) fn measure<Fd: AsFd>(tree: Fd, path: &Path) -> Result<Measured> {
    let mut sum = Measured::default();
    let mut linked = HashSet::new();
    let mut jobs = vec![PathBuf::new()];
    while let Some(job) = jobs.pop() {
        let folder = match folder::open_beneath(&tree, &job) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(err) => return Err(Error::io("open", path.join(job))(err)),
        };
        let below = measure_one(folder.as_fd(), &job, &mut sum, &mut linked)
            .map_err(Error::io("read directory", path.join(&job)))?;
        jobs.extend(below);
    }
    Ok(sum)
}

fn measure_one(
    folder: BorrowedFd<'_>,
    at: &Path,
    sum: &mut Measured,
    linked: &mut HashSet<(u64, u64)>,
) -> Result<Vec<PathBuf>, Errno> {
    let mut below = Vec::new();
    for entry in folder::entries(folder)? {
        let stat = match folder::lstat(folder, &entry.name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(err) => return Err(err),
        };
        sum.usage.entries += 1;
        let directory = entry.kind == FileType::Directory;
        if directory || stat.st_nlink < 2 || linked.insert((stat.st_dev, stat.st_ino)) {
            let allocated = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            sum.usage.bytes += allocated;
            if entry.kind == FileType::RegularFile {
                sum.content += allocated.min(u64::try_from(stat.st_size).unwrap_or(0));
            }
        }
        if directory {
            below.push(folder::join(at, &entry.name));
        }
    }
    Ok(below)
}

/// Asks a file system what it has.
pub(crate) fn resources(folder: &OwnedFd, path: &Path) -> Result<Resources> {
    let stat = rustix::fs::fstatvfs(folder).map_err(Error::io("stat file system of", path))?;
    Ok(Resources {
        total_bytes: stat.f_blocks * stat.f_frsize,
        used_bytes: (stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        total_inodes: stat.f_files,
        used_inodes: stat.f_files - stat.f_ffree,
    })
}
