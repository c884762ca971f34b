//! The bytes of a file: shared where the file system can, else copied with their holes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

use rustix::fs::{SeekFrom, Stat, copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::{Errno, retry_on_intr};

use crate::error::Result;

use super::Copy;

/// How much one call copies: small enough that a copy can be cancelled.
const PIECE: u64 = 8 << 20;

/// Files up to this size are read and written: two calls, no set-up in the kernel.
const SMALL: u64 = 64 << 10;

impl Copy<'_> {
    /// Fills an empty file with another's content.
    pub(super) fn content(
        &self,
        source: &OwnedFd,
        target: &OwnedFd,
        stat: &Stat,
        at: &Path,
    ) -> Result<()> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            return Ok(());
        }
        if self.share(source, target).map_err(self.error("share the extents of", at))? {
            self.bytes.fetch_add(allocated(stat).min(size), Ordering::Relaxed);
            return Ok(());
        }
        if allocated(stat) >= size {
            self.range(source, target, 0, size, at)?;
        } else {
            self.sparse(source, target, size, at)?;
        }
        Ok(())
    }

    /// Tries to let the target share the source's extents.
    fn share(&self, source: &OwnedFd, target: &OwnedFd) -> Result<bool, Errno> {
        if !self.reflink.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match ioctl_ficlone(target, source) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => {
                self.reflink.store(false, Ordering::Relaxed);
                Ok(false)
            }
            // This file alone cannot: no copy-on-write attribute, too many references.
            Err(Errno::INVAL | Errno::MLINK | Errno::PERM) => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Copies the parts that hold data; what lies between them stays a hole.
    fn sparse(&self, source: &OwnedFd, target: &OwnedFd, size: u64, at: &Path) -> Result<()> {
        ftruncate(target, size).map_err(self.error("size", at))?;
        let mut position = 0;
        while position < size {
            let start = match seek(source, SeekFrom::Data(position)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL) => return self.range(source, target, position, size, at),
                Err(err) => return Err(self.error("seek in", at)(err)),
            };
            let end = seek(source, SeekFrom::Hole(start)).map_err(self.error("seek in", at))?;
            self.range(source, target, start, end.min(size), at)?;
            position = end;
        }
        Ok(())
    }

    /// Copies the bytes from `start` to `end`, or to the source's end where that comes first.
    fn range(
        &self,
        source: &OwnedFd,
        target: &OwnedFd,
        start: u64,
        end: u64,
        at: &Path,
    ) -> Result<()> {
        let mut position = start;
        let mut in_kernel = end - start > SMALL;
        while position < end {
            let length = (end - position).min(PIECE);
            let copied = if in_kernel {
                match piece_in_kernel(source, target, position, length) {
                    // Some file systems answer 0 where reading would give data.
                    Ok(0) | Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                        in_kernel = false;
                        continue;
                    }
                    other => other,
                }
            } else {
                piece_by_hand(source, target, position, length)
            };
            let copied = copied.map_err(self.error("copy", at))?;
            if copied == 0 {
                break;
            }
            position += copied;
            self.bytes.fetch_add(copied, Ordering::Relaxed);
            self.written.fetch_add(copied, Ordering::Relaxed);
            self.report()?;
        }
        Ok(())
    }
}

/// Bytes that a file has on disk.
fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

fn piece_in_kernel<S: AsFd, T: AsFd>(
    source: S,
    target: T,
    position: u64,
    length: u64,
) -> Result<u64, Errno> {
    let (mut from, mut to) = (position, position);
    let length = usize::try_from(length).expect("a piece is 8 MiB at most");
    retry_on_intr(|| copy_file_range(&source, Some(&mut from), &target, Some(&mut to), length))
        .map(|copied| copied as u64)
}

fn piece_by_hand<S: AsFd, T: AsFd>(
    source: S,
    target: T,
    position: u64,
    length: u64,
) -> Result<u64, Errno> {
    let length = usize::try_from(length.min(SMALL)).expect("64 KiB at most");
    let mut buffer = vec![0_u8; length];
    let read = retry_on_intr(|| rustix::io::pread(&source, &mut buffer[..], position))?;
    let mut written = 0;
    while written < read {
        let offset = position + written as u64;
        written += retry_on_intr(|| rustix::io::pwrite(&target, &buffer[written..read], offset))?;
    }
    Ok(read as u64)
}
