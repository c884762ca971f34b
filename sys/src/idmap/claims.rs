//! The file that records which ranges of this machine are claimed.
//!
//! ```text
//! next <slot to look at first>
//! <start>\t<count>\t<daemon>\t<instance>
//! ```
//!
//! It lies beside a lock file, is replaced whole by rename, and lives in `/run`: a boot empties it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::allocator::{Claim, Owner};
use super::range::IdRange;
use crate::Context;
use crate::error::{Result, SysError};

/// The claims, locked against all other processes until this is dropped.
pub(super) struct Claims {
    path: PathBuf,
    // Held for its lock.
    _lock: File,
    pub(super) next: u32,
    pub(super) list: Vec<Claim>,
}

impl Claims {
    /// Locks and reads the claims in a directory, which is made where it does not exist.
    pub(super) fn lock(dir: &Path) -> Result<Self> {
        let lock_path = dir.join("lock");
        let mut lock = open_lock(&lock_path);
        if lock.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.op("create", dir.display())?;
            lock = open_lock(&lock_path);
        }
        let lock = lock.op("open", lock_path.display())?;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => break outcome.op("lock", lock_path.display())?,
            }
        }
        let path = dir.join("claims");
        let (next, list) = match std::fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| {
                SysError::message(
                    "read",
                    path.display(),
                    io::ErrorKind::InvalidData,
                    "not a file of id range claims",
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, Vec::new()),
            Err(error) => return Err(SysError::new("read", path.display(), error)),
        };
        Ok(Self { path, _lock: lock, next, list })
    }

    /// Replaces the file.
    pub(super) fn store(&self) -> Result<()> {
        let new = self.path.with_extension("new");
        std::fs::write(&new, render(self.next, &self.list)).op("write", new.display())?;
        std::fs::rename(&new, &self.path).op("replace", self.path.display())
    }
}

/// Root's alone: whoever may open the lock may hold it, and with it every start.
fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn parse(text: &str) -> Option<(u32, Vec<Claim>)> {
    let mut lines = text.lines();
    let next = lines.next()?.strip_prefix("next ")?.parse().ok()?;
    let list = lines.map(parse_claim).collect::<Option<Vec<_>>>()?;
    Some((next, list))
}

fn parse_claim(line: &str) -> Option<Claim> {
    let mut fields = line.split('\t');
    let start = fields.next()?.parse().ok()?;
    let range = IdRange::new(start, fields.next()?.parse().ok()?)?;
    let owner = Owner { daemon: fields.next()?.to_owned(), instance: fields.next()?.to_owned() };
    fields.next().is_none().then_some(Claim { range, owner })
}

fn render(next: u32, list: &[Claim]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("next {next}\n");
    for Claim { range, owner } in list {
        let (start, count) = (range.start(), range.count());
        let _ = writeln!(text, "{start}\t{count}\t{}\t{}", owner.daemon, owner.instance);
    }
    text
}
