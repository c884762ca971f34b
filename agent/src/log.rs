//! Files that grow up to a bound: the console's log, the agent's own log, the record of exits.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sc_agent_protocol::{ExitRecord, Recorded};
use sc_sys::resolve::Root;
use sc_sys::{Result, SysError};

use crate::clock;

/// The agent's own log stays below this many bytes.
const AGENT_LOG_BYTES: u64 = 256 * 1024;
/// The record of exits stays below this many bytes: some thousand reboots.
const RECORD_BYTES: u64 = 256 * 1024;

/// A file that, when its half of the bound is full, moves to a second one beside it (`.1`).
#[derive(Debug)]
pub(crate) struct BoundedFile {
    /// Held open, since the path is out of sight once the agent has a root of its own.
    folder: OwnedFd,
    name: PathBuf,
    file: File,
    length: u64,
    half: u64,
}

impl BoundedFile {
    /// Opens or makes the file for appending.
    pub(crate) fn open(path: &Path, most_bytes: u64) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = Root::open_dir(folder.unwrap_or(Path::new(".")))?;
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        let file = open_at(folder.fd(), &name)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let folder = folder.fd().as_fd().try_clone_to_owned();
        let folder = folder.map_err(|e| SysError::new("duplicate", path.display(), e))?;
        Ok(Self { folder, name, file, length, half: (most_bytes / 2).max(1) })
    }

    /// Appends; what cannot be written (a full disk) is dropped, so that nothing waits for it.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        // What is longer than a half keeps its end.
        let keep = usize::try_from(self.half).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &bytes[bytes.len() - keep..];
        if self.length + bytes.len() as u64 > self.half {
            self.rotate();
        }
        if self.file.write_all(bytes).is_ok() {
            self.length += bytes.len() as u64;
        }
    }

    fn older(&self) -> PathBuf {
        let mut name = self.name.clone().into_os_string();
        name.push(".1");
        PathBuf::from(name)
    }

    fn rotate(&mut self) {
        let moved = rustix::fs::renameat(&self.folder, &self.name, &self.folder, self.older());
        match (moved, open_at(&self.folder, &self.name)) {
            (Ok(()), Ok(file)) => self.file = file,
            // The bound holds even where the folder takes no second file.
            _ => drop(self.file.set_len(0)),
        }
        self.length = 0;
    }
}

fn open_at(folder: impl AsFd, name: &Path) -> Result<File> {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR);
    fd.map(File::from).map_err(|error| SysError::new("open", name.display(), error))
}

/// What the agent writes down.
#[derive(Debug)]
pub(crate) struct Journal {
    log: BoundedFile,
    record: BoundedFile,
}

impl Journal {
    /// Opens the agent's log and the record of exits.
    pub(crate) fn open(log: &Path, record: &Path) -> Result<Self> {
        Ok(Self {
            log: BoundedFile::open(log, AGENT_LOG_BYTES)?,
            record: BoundedFile::open(record, RECORD_BYTES)?,
        })
    }

    /// Appends a line to the agent's log.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) {
        let line = format!("{} {}\n", clock::rfc3339(clock::now_us()), text.as_ref());
        self.log.append(line.as_bytes());
    }

    /// Appends to the record of exits, and to the log.
    pub(crate) fn record(&mut self, what: Recorded) {
        self.say(what.to_string());
        let record = ExitRecord { at_us: clock::now_us(), what };
        let mut line = serde_json::to_vec(&record).expect("records serialise");
        line.push(b'\n');
        self.record.append(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both files hold, the older first.
    fn contents(path: &Path) -> Vec<u8> {
        let older = std::fs::read(path.with_extension("1")).unwrap_or_default();
        [older, std::fs::read(path).unwrap()].concat()
    }

    #[test]
    fn a_bounded_file_keeps_the_newest_and_stays_below_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = BoundedFile::open(&path, 100).unwrap();
        for number in 0..40 {
            file.append(format!("line {number:03}\n").as_bytes());
        }
        let all = String::from_utf8(contents(&path)).unwrap();
        assert!(all.ends_with("line 038\nline 039\n") && all.len() <= 100);
        let size = |name| std::fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("log") <= 50 && size("log.1") <= 50);
    }

    #[test]
    fn what_is_longer_than_the_bound_keeps_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        BoundedFile::open(&path, 20).unwrap().append(b"0123456789abcdefghijklmnopqrstuvwxyz");
        assert_eq!(contents(&path), b"qrstuvwxyz");
    }

    #[test]
    fn a_file_opened_again_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        BoundedFile::open(&path, 100).unwrap().append(b"one ");
        BoundedFile::open(&path, 100).unwrap().append(b"two");
        assert_eq!(contents(&path), b"one two");
    }
}
