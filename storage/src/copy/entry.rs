//! One entry of a directory, by its type.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, linkat, mkdirat, mknodat, openat};
use rustix::io::Errno;

use crate::error::Result;
use crate::folder::{self, Entry};

use super::attributes::{copy_attributes, copy_entry_attributes};
use super::{Copy, lock};

impl Copy<'_> {
    /// Copies one entry; for a directory only makes it and returns true.
    pub(super) fn entry(
        &self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        entry: &Entry,
        at: &Path,
    ) -> Result<bool> {
        match entry.kind {
            FileType::Directory => {
                // Closed to everyone else until its own mode is set at the end.
                mkdirat(target, &entry.name, Mode::RWXU)
                    .map_err(self.error("make directory", at))?;
            }
            FileType::RegularFile => self.file(source, target, &entry.name, at)?,
            _ => self.special(source, target, entry, at)?,
        }
        self.entries.fetch_add(1, Ordering::Relaxed);
        Ok(entry.kind == FileType::Directory)
    }

    fn file(
        &self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        at: &Path,
    ) -> Result<()> {
        // Not blocking: should the entry have become a pipe meanwhile, the open must not hang.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = openat(source, name, flags, Mode::empty()).map_err(self.error("open", at))?;
        let stat = fstat(&from).map_err(self.error("stat", at))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.error("copy, as it changed under the copy,", at)(Errno::STALE));
        }
        if stat.st_nlink > 1 && self.linked_before(&stat, at) {
            return Ok(());
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = openat(target, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(self.error("create", at))?;
        self.content(&from, &to, &stat, at)?;
        copy_attributes(&from, &to).map_err(self.error("set attributes of", at))
    }

    /// Notes one name of a hard-linked file. Returns whether it is not the first, and so will be
    /// made as a link at the end, when the first surely is there.
    fn linked_before(&self, stat: &Stat, at: &Path) -> bool {
        let mut linked = lock(&self.linked);
        match linked.get(&(stat.st_dev, stat.st_ino)) {
            Some(first) => {
                lock(&self.links).push((first.clone(), at.to_owned()));
                true
            }
            None => {
                linked.insert((stat.st_dev, stat.st_ino), at.to_owned());
                false
            }
        }
    }

    /// Makes a further name of a file that is there.
    pub(super) fn link(&self, existing: &Path, new: &Path) -> Result<()> {
        let split = |path: &Path| -> (PathBuf, PathBuf) {
            let parent = path.parent().map(Path::to_owned).unwrap_or_default();
            (parent, path.file_name().map(PathBuf::from).unwrap_or_default())
        };
        let ((from, from_name), (to, to_name)) = (split(existing), split(new));
        let from = folder::open_beneath(self.target, &from).map_err(self.error("open", &from))?;
        let to = folder::open_beneath(self.target, &to).map_err(self.error("open", &to))?;
        linkat(&from, &from_name, &to, &to_name, AtFlags::empty()).map_err(self.error("link", new))
    }

    /// Links, pipes, sockets and whiteouts; counts other devices.
    fn special(
        &self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        entry: &Entry,
        at: &Path,
    ) -> Result<()> {
        let name = &entry.name;
        let stat = folder::lstat(source, name).map_err(self.error("stat", at))?;
        match entry.kind {
            FileType::Symlink => {
                let points_at = rustix::fs::readlinkat(source, name, Vec::new())
                    .map_err(self.error("read link", at))?;
                rustix::fs::symlinkat(&points_at, target, name)
                    .map_err(self.error("make link", at))?;
            }
            FileType::Fifo | FileType::Socket => {
                mknodat(target, name, entry.kind, Mode::RUSR | Mode::WUSR, 0)
                    .map_err(self.error("make", at))?;
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                mknodat(target, name, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(self.error("make whiteout", at))?;
            }
            _ => {
                self.devices.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        let has_mode = entry.kind != FileType::Symlink;
        copy_entry_attributes((source, target), name, &stat, has_mode)
            .map_err(self.error("set attributes of", at))
    }
}
