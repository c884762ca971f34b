//! A squashfs root filesystem, unpacked by `unsquashfs` inside the sandbox.
//!
//! It is listed first: paths, sizes, owners and devices are checked against the same rules and limits
//! as those of an archive before anything is written.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use super::{
    budget::Budget,
    path::EntryPath,
    report::{Cause, Failure, Inside},
    tree::check_device,
    xattr::{self, Fate},
};

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

/// One line of `unsquashfs -lln`.
#[derive(Debug, PartialEq, Eq)]
struct Listed<'a> {
    kind: u8,
    uid: u64,
    gid: u64,
    size: u64,
    device: (u64, u64),
    path: &'a [u8],
}

impl<'a> Listed<'a> {
    /// Reads `-rw-r--r-- 0/0     3 2026-01-01 00:00 /path`; devices have `1,  3` for a size.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let start = rest.iter().position(|byte| *byte != b' ')?;
            let length = rest[start..].iter().position(|byte| *byte == b' ')?;
            let word = std::str::from_utf8(&rest[start..start + length]).ok()?;
            rest = &rest[start + length..];
            Some(word)
        };
        let mode = word()?;
        let kind = *mode.as_bytes().first().filter(|_| mode.len() == 10)?;
        let (uid, gid) = word()?.split_once('/')?;
        let size = word()?;
        let (size, device) = match size.split_once(',') {
            Some((major, "")) => (0, (major.parse().ok()?, word()?.parse().ok()?)),
            Some((major, minor)) => (0, (major.parse().ok()?, minor.parse().ok()?)),
            None => (size.parse().ok()?, (0, 0)),
        };
        let (day, minute) = (word()?, word()?);
        if day.len() != 10 || minute.len() != 5 {
            return None;
        }
        let path = rest.strip_prefix(b" ")?;
        let path = match kind {
            b'l' => path.windows(4).position(|w| w == b" -> ").map(|end| &path[..end])?,
            _ => path,
        };
        if !path.is_empty() && !path.starts_with(b"/") {
            return None;
        }
        Some(Self { kind, uid: uid.parse().ok()?, gid: gid.parse().ok()?, size, device, path })
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

fn unsquashfs() -> Command {
    let mut command = Command::new("unsquashfs");
    // Few malloc arenas: each reserves address space, which is limited.
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("MALLOC_ARENA_MAX", "2")
        .args(["-data-queue", "64", "-frag-queue", "64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a program ended, and what it complained of.
struct Ended {
    status: ExitStatus,
    complaints: Complaints,
}

/// What unsquashfs wrote to its standard error.
#[derive(Default, Debug, PartialEq, Eq)]
struct Complaints {
    /// Attributes that could not be set and need not be.
    dropped: u64,
    /// An attribute that must not be there.
    refused: Option<String>,
    /// The first of all other complaints.
    other: Option<String>,
}

impl Complaints {
    fn take(&mut self, line: &str) {
        let Some(name) = unwritten_xattr(line) else {
            if !line.trim().is_empty() {
                self.other.get_or_insert_with(|| line.to_owned());
            }
            return;
        };
        match xattr::fate(name.as_bytes()) {
            Fate::Drop => self.dropped += 1,
            Fate::Refuse => {
                self.refused.get_or_insert_with(|| xattr::refusal(name.as_bytes()));
            }
            Fate::Keep => {
                self.other.get_or_insert_with(|| line.to_owned());
            }
        }
    }
}

/// Finds the attribute's name in unsquashfs' words about one that it could not write.
fn unwritten_xattr(complaint: &str) -> Option<&str> {
    let (_, rest) = complaint.split_once("write_xattr: failed to write xattr ")?;
    rest.split(' ').next()
}

impl Ended {
    /// Fails unless the program did all it was to do, but for attributes that are left out; returns how
    /// many those were.
    fn check(self) -> Inside<u64> {
        let Complaints { dropped, refused, other } = self.complaints;
        if let Some(reason) = refused {
            return Err(Failure::image(reason));
        }
        // 2 is what it says when something failed that did not stop it.
        let fine = self.status.success() || (self.status.code() == Some(2) && dropped > 0);
        if fine && other.is_none() {
            return Ok(dropped);
        }
        let what = other.unwrap_or_else(|| self.status.to_string());
        if what.contains("No space left") || what.contains("quota") {
            return Err(Failure::machine("unsquashfs", what));
        }
        Err(Failure::image(format!("unsquashfs refused it, it may be damaged: {what}")))
    }
}

/// Runs a program and hands each line of its output on.
fn run(mut command: Command, mut line: impl FnMut(&[u8]) -> Inside<()>) -> Inside<Ended> {
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure { cause: Cause::NoUnsquashfs, ..Failure::image("unsquashfs is not installed") }
        }
        _ => Failure::machine("start unsquashfs", error),
    })?;
    let complaints = listen(&mut child);
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut buffer = Vec::new();
    let outcome = loop {
        buffer.clear();
        match (&mut output).take(1 << 16).read_until(b'\n', &mut buffer) {
            Ok(0) => break Ok(()),
            Ok(_) => {
                if buffer.last() == Some(&b'\n') {
                    buffer.pop();
                }
                if let Err(failure) = line(&buffer) {
                    break Err(failure);
                }
            }
            Err(error) => break Err(Failure::machine("read from unsquashfs", error)),
        }
    };
    if outcome.is_err() {
        // It may be gone already, which is as good.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| Failure::machine("wait for unsquashfs", error))?;
    let complaints = complaints.join().unwrap_or_default();
    outcome.map(|()| Ended { status, complaints })
}

/// Reads what a program writes to its standard error, to the end, so that it never blocks.
fn listen(child: &mut Child) -> thread::JoinHandle<Complaints> {
    let mut from = BufReader::new(child.stderr.take().expect("it is piped"));
    thread::spawn(move || {
        let mut complaints = Complaints::default();
        let mut line = Vec::new();
        // What cannot be read is not told; then the status speaks.
        while (&mut from).take(1 << 16).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            complaints.take(&String::from_utf8_lossy(&line));
            line.clear();
        }
        complaints
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_lines_are_read() {
        let file =
            Listed::parse(b"-rw-r--r-- 0/33               3 2026-11-24 09:48 /etc/a b").unwrap();
        assert_eq!((file.kind, file.uid, file.gid, file.size), (b'-', 0, 33, 3));
        assert_eq!(file.path, b"/etc/a b");
        let device =
            Listed::parse(b"crw-r--r-- 0/0           1,  3 2026-11-24 09:48 /dev/null").unwrap();
        assert_eq!((device.kind, device.device), (b'c', (1, 3)));
        let link = Listed::parse(b"lrwxrwxrwx 0/0    3 2026-11-24 09:48 /l nk -> a -> b").unwrap();
        assert_eq!(link.path, b"/l nk");
        let root = Listed::parse(b"drwxr-xr-x 0/0   59 2026-11-24 09:48 ").unwrap();
        assert_eq!(root.path, b"");
        assert_eq!(Listed::parse(b"passwd"), None);
    }

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

    #[test]
    fn the_name_of_an_unwritten_attribute_is_found() {
        let line = "write_xattr: failed to write xattr security.foo for file /t/x because No";
        assert_eq!(unwritten_xattr(line), Some("security.foo"));
        assert_eq!(unwritten_xattr("create_inode: failed"), None);
    }

    #[test]
    fn only_attributes_that_mean_nothing_are_let_pass() {
        let mut complaints = Complaints::default();
        complaints
            .take("write_xattr: failed to write xattr security.selinux for file /t because X\n");
        complaints.take("\n");
        assert_eq!(complaints, Complaints { dropped: 1, ..Complaints::default() });
        complaints.take("write_xattr: failed to write xattr user.x for file /t because No space");
        assert!(complaints.other.is_some());
    }
}
