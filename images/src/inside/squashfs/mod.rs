//! A squashfs root filesystem, unpacked by `unsquashfs` inside the sandbox.
//!
//! It is listed first: paths, sizes, owners and devices are checked against the same rules and limits
//! as those of an archive before anything is written.

mod listing;
mod program;

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use self::{
    listing::Listed,
    program::{run, unsquashfs},
};
use super::{
    budget::Budget,
    device::check_device,
    path::EntryPath,
    xattr::{self, Fate},
};
use crate::wire::{Failure, Inside};

const MAX_EXCLUDES: usize = 4096;
const NAME_LIST: usize = 64 << 10;

/// Checks the first bytes against what the file is: cheap, and before a program reads it.
pub(crate) fn check_superblock(head: &[u8], size: Option<u64>, budget_files: u64) -> Inside<()> {
    let field = |at: usize, length: usize| {
        head.get(at..at + length)
            .map(|bytes| bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let cut_off =
        || Failure::image("the squashfs is cut off: fetch it again, and compare its size");
    let (inodes, block, major, used) = (field(4, 4), field(12, 4), field(28, 2), field(40, 8));
    let (Some(inodes), Some(block), Some(major), Some(used)) = (inodes, block, major, used) else {
        return Err(cut_off());
    };
    if major != 4 || !head.starts_with(b"hsqs") {
        return Err(Failure::image(format!(
            "the squashfs has version {major}, only 4 is supported: pack it anew with mksquashfs"
        )));
    }
    if !(4096..=1 << 20).contains(&block) {
        return Err(Failure::image("the squashfs has an impossible block size: it is damaged"));
    }
    if inodes > budget_files {
        return Err(Failure::image(format!(
            "the squashfs claims {inodes} files, the limit is {budget_files}"
        )));
    }
    let size = size
        .ok_or_else(|| Failure::image("a squashfs must be a plain file, it cannot be streamed"))?;
    if used > size {
        return Err(cut_off());
    }
    Ok(())
}

/// Unpacks `image` into `target`; both are paths inside the sandbox.
pub(crate) fn unpack(
    image: &Path,
    target: &Path,
    max_depth: u32,
    budget: &mut Budget,
) -> Inside<()> {
    if !image.exists() {
        return Err(Failure::machine(
            "read the squashfs",
            "the filesystem that it is on cannot be idmapped: put the image store on ext4, xfs or btrfs",
        ));
    }
    budget.step("checking root filesystem");
    let devices = list(image, max_depth, budget)?;
    budget.step("unpacking root filesystem");
    extract(image, target, &devices, budget)?;
    check_xattrs(target, budget)
}

/// Checks everything in the image; returns the devices below `dev/`, which are left out.
fn list(image: &Path, max_depth: u32, budget: &mut Budget) -> Inside<Vec<PathBuf>> {
    let mut devices = Vec::new();
    let mut command = unsquashfs();
    command.args(["-lln", "-d", ""]).arg(image);
    run(command, |line| {
        let Some(listed) = Listed::parse(line) else {
            // A line that is none of a listing: the rest of a name with a newline in it.
            return Err(Failure::image("a name in the squashfs contains a newline").entry(line));
        };
        check(&listed, max_depth, budget, &mut devices).map_err(|f| f.entry(listed.path))
    })?
    .check()?;
    Ok(devices)
}

fn check(
    listed: &Listed<'_>,
    max_depth: u32,
    budget: &mut Budget,
    devices: &mut Vec<PathBuf>,
) -> Inside<()> {
    let path = listed.path.strip_prefix(b"/").unwrap_or(listed.path);
    let path = EntryPath::parse(path, max_depth).map_err(Failure::image)?;
    budget.take_entry()?;
    budget.id(listed.uid, "user")?;
    budget.id(listed.gid, "group")?;
    match listed.kind {
        b'-' => budget.take_bytes(listed.size),
        b'c' | b'b' => {
            check_device(&path, listed.kind == b'c' && listed.device == (0, 0))?;
            budget.stats.dropped_devices += 1;
            if devices.len() == MAX_EXCLUDES {
                return Err(Failure::image(format!("there are more than {MAX_EXCLUDES} devices")));
            }
            devices.push(PathBuf::from(std::ffi::OsStr::from_bytes(path.bytes())));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn extract(image: &Path, target: &Path, devices: &[PathBuf], budget: &mut Budget) -> Inside<()> {
    let mut command = unsquashfs();
    // Errors are ignored by unsquashfs, so that it goes on behind an attribute that may not be set, but
    // not by us: `check` sees them all.
    command.args(["-ignore-errors", "-no-progress", "-info", "-no-wildcards", "-force", "-dest"]);
    command.arg(target);
    if !devices.is_empty() {
        command.arg("-excludes");
    }
    command.arg(image).args(devices);
    let (mut done, total) = (0, budget.stats.files);
    let ended = run(command, |_| {
        done += 1;
        budget.progress(done, Some(total));
        Ok(())
    })?;
    budget.stats.dropped_xattrs += ended.check()?;
    Ok(())
}

/// Looks for overlayfs' attributes, which the listing does not show.
fn check_xattrs(target: &Path, budget: &mut Budget) -> Inside<()> {
    let mut names = vec![0; NAME_LIST];
    let mut folders = vec![target.to_owned()];
    let failed = |error: std::io::Error| Failure::machine("look through the files", error);
    while let Some(folder) = folders.pop() {
        check_names(&folder, target, &mut names)?;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                check_names(&entry.path(), target, &mut names)?;
            }
        }
        budget.progress(budget.stats.files, Some(budget.stats.files));
    }
    Ok(())
}

fn check_names(path: &Path, target: &Path, names: &mut [u8]) -> Inside<()> {
    let length = match rustix::fs::llistxattr(path, &mut *names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(Failure::machine("list extended attributes", error)),
    };
    match names[..length].split(|byte| *byte == 0).find(|name| xattr::fate(name) == Fate::Refuse) {
        Some(name) => {
            let path = path.strip_prefix(target).unwrap_or(path);
            Err(Failure::image(xattr::refusal(name)).entry(path.as_os_str().as_bytes()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_that_claims_too_much_is_refused() {
        let mut head = [0; 96];
        head[..4].copy_from_slice(b"hsqs");
        head[4..8].copy_from_slice(&10u32.to_le_bytes());
        head[12..16].copy_from_slice(&131_072u32.to_le_bytes());
        head[28] = 4;
        head[40..48].copy_from_slice(&1000u64.to_le_bytes());
        assert!(check_superblock(&head, Some(1000), 10).is_ok());
        assert!(check_superblock(&head, Some(999), 10).unwrap_err().reason.contains("cut off"));
        assert!(check_superblock(&head, Some(1000), 9).unwrap_err().reason.contains("10 files"));
        assert!(check_superblock(&head, None, 10).unwrap_err().reason.contains("plain file"));
        assert!(
            check_superblock(&head[..20], Some(20), 10).unwrap_err().reason.contains("cut off")
        );
    }
}
