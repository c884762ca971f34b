//! What a process without capabilities cannot give a file: an owner other than root, and a file
//! capability.
//!
//! Whoever reads an archive notes them in a [`List`] (and makes the files as root's), which goes
//! through a memory file to a second process, started afresh. That one has the capabilities and reads
//! nothing but the list; as it comes from where foreign bytes were read, every bound in it is checked
//! anew, and no path in it is followed through a link.
//!
//! ```text
//! record: kind (1, 2)  uid, gid, mode (u32 each)  length of path, of capability (u16 each)  both
//! a kind of 0, which memory files are full of, is the end
//! ```

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags},
    io::Errno,
};

use super::{budget::Budget, path::EntryPath};
use crate::wire::{Failure, Inside};

/// The attribute in which Linux keeps a file's capabilities.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// How much of a capability is carried; the kernel takes at most 24 bytes.
const MAX_CAPABILITY: usize = 64;
/// What an entry costs beside its path and capability, in memory more than in the file.
const OVERHEAD: usize = 96;
const END: u8 = 0;
const INODE: u8 = 1;
const SYMLINK: u8 = 2;

/// What one path is still to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Set again, as a change of owner takes bits away; `None` for a symbolic link, which has none.
    pub(crate) mode: Option<u32>,
    pub(crate) capability: Option<Box<[u8]>>,
}

/// What is put off, by path.
pub(crate) struct List {
    entries: BTreeMap<EntryPath, Later>,
    bytes: usize,
    limit: u64,
}

impl List {
    pub(crate) fn new(limit: u64) -> Self {
        Self { entries: BTreeMap::new(), bytes: 0, limit }
    }

    /// Notes something, in place of what was noted of the same path before.
    pub(crate) fn put(&mut self, path: &EntryPath, later: Later) -> Inside<()> {
        let possible = |value: &[u8]| (1..=MAX_CAPABILITY).contains(&value.len());
        if !later.capability.as_deref().is_none_or(possible) {
            return Err(super::tree::xattr_failed(CAPABILITY, Errno::INVAL));
        }
        self.forget(path);
        let bytes = self.bytes + cost(path, &later);
        if bytes as u64 > self.limit {
            return Err(Failure::image(format!(
                "the paths of files that are not root's, or that have capabilities, take more than {} \
                 bytes, the limit: let root own most of the image's files",
                self.limit
            )));
        }
        self.bytes = bytes;
        self.entries.insert(path.clone(), later);
        Ok(())
    }

    /// Forgets a path whose entry is replaced.
    pub(crate) fn forget(&mut self, path: &EntryPath) {
        if let Some(old) = self.entries.remove(path) {
            self.bytes -= cost(path, &old);
        }
    }

    /// Notes for a new hard link what is noted for the path that it was made from: that one may be
    /// replaced yet.
    pub(crate) fn link(&mut self, from: &EntryPath, to: &EntryPath) -> Inside<()> {
        match self.entries.get(from).cloned() {
            Some(later) => self.put(to, later),
            None => Ok(()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes all of it to the memory file.
    pub(crate) fn write(&self, to: File) -> Inside<()> {
        let mut to = BufWriter::new(to);
        self.entries
            .iter()
            .try_for_each(|(path, later)| encode(path, later, &mut to))
            .and_then(|()| to.flush())
            .map_err(|error| Failure::machine("note the owners of files", error))
    }
}

fn cost(path: &EntryPath, later: &Later) -> usize {
    path.bytes().len() + later.capability.as_ref().map_or(0, |value| value.len()) + OVERHEAD
}

fn encode(path: &EntryPath, later: &Later, to: &mut impl Write) -> io::Result<()> {
    let capability = later.capability.as_deref().unwrap_or_default();
    to.write_all(&[if later.mode.is_some() { INODE } else { SYMLINK }])?;
    for number in [later.uid, later.gid, later.mode.unwrap_or(0)] {
        to.write_all(&number.to_le_bytes())?;
    }
    for bytes in [path.bytes(), capability] {
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        to.write_all(&length.to_le_bytes())?;
    }
    to.write_all(path.bytes())?;
    to.write_all(capability)
}

/// Gives the files below `root` what the list in a memory file says, and waits until it is on disk.
pub(crate) fn apply(mut list: File, root: &OwnedFd, depth: u32, budget: &mut Budget) -> Inside<()> {
    list.rewind().map_err(|error| Failure::machine("read the list of owners", error))?;
    let mut list = BufReader::new(list);
    while let Some((path, later)) = decode(&mut list, depth, budget)? {
        budget.take_entry()?;
        give(root, &path, &later).map_err(|failure| failure.entry(path.bytes()))?;
    }
    super::tree::sync(root)
}

/// Reads the next record and checks all of it.
fn decode(list: &mut impl Read, depth: u32, budget: &Budget) -> Inside<Option<(EntryPath, Later)>> {
    let mut kind = [0];
    match list.read(&mut kind) {
        Ok(0) => return Ok(None),
        Ok(_) if kind == [END] => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(Failure::machine("read the list of owners", error)),
    }
    let mut numbers = [0; 16];
    list.read_exact(&mut numbers).map_err(damaged)?;
    let wide = |at: usize| {
        u32::from_le_bytes(numbers[at..at + 4].try_into().expect("four bytes are four"))
    };
    let length = |at: usize| usize::from(u16::from_le_bytes([numbers[at], numbers[at + 1]]));
    let mut path = vec![0; length(12)];
    list.read_exact(&mut path).map_err(damaged)?;
    let mut capability = vec![0; length(14)];
    list.read_exact(&mut capability).map_err(damaged)?;
    let path = EntryPath::parse(&path, depth).map_err(damaged)?;
    let mode = match (kind, wide(8)) {
        ([INODE], mode @ 0..=0o7777) => Some(mode),
        ([SYMLINK], 0) if capability.is_empty() => None,
        _ => return Err(damaged("impossible kind or mode")),
    };
    if capability.len() > MAX_CAPABILITY {
        return Err(damaged("a capability is too long"));
    }
    let later = Later {
        uid: budget.id(wide(0).into(), "user")?,
        gid: budget.id(wide(4).into(), "group")?,
        mode,
        capability: (!capability.is_empty()).then(|| capability.into()),
    };
    Ok(Some((path, later)))
}

fn damaged(why: impl std::fmt::Display) -> Failure {
    Failure::machine("read the list of owners", why)
}

/// Owner before mode and capability, which a change of owner takes away. Times are not touched by any.
fn give(root: &OwnedFd, path: &EntryPath, later: &Later) -> Inside<()> {
    let owner = (Some(Uid::from_raw(later.uid)), Some(Gid::from_raw(later.gid)));
    let Some(mode) = later.mode else {
        let fd = open(root, path, OFlags::PATH)?;
        if kind(&fd)? != FileType::Symlink {
            return Err(damaged("it is no symbolic link"));
        }
        return rustix::fs::chownat(&fd, "", owner.0, owner.1, AtFlags::EMPTY_PATH)
            .map_err(|error| Failure::machine("set owner", error));
    };
    // Opening a FIFO to read does not wait, so.
    let fd = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    rustix::fs::fchown(&fd, owner.0, owner.1).map_err(|e| Failure::machine("set owner", e))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))
        .map_err(|error| Failure::machine("set mode", error))?;
    match &later.capability {
        Some(value) => rustix::fs::fsetxattr(&fd, CAPABILITY, value, XattrFlags::empty())
            .map_err(|errno| super::tree::xattr_failed(CAPABILITY, errno)),
        None => Ok(()),
    }
}

fn open(root: &OwnedFd, path: &EntryPath, flags: OFlags) -> Inside<OwnedFd> {
    let path = if path.is_root() { b"." } else { path.bytes() };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::NOENT | Errno::XDEV => {
            damaged("it names what was not unpacked")
        }
        errno => Failure::machine("open a file to give it its owner", errno),
    })
}

fn kind(fd: &OwnedFd) -> Inside<FileType> {
    rustix::fs::fstat(fd)
        .map(|stat| FileType::from_raw_mode(stat.st_mode))
        .map_err(|error| Failure::machine("look at a file", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Job, Role};

    fn budget() -> Budget {
        let job = Job {
            role: Role::Owners,
            total_bytes: 0,
            file_bytes: 0,
            files: 9,
            depth: 4,
            ids: 65_536,
            memory_bytes: 0,
            owners_bytes: 0,
        };
        Budget::new(&job, Box::new(|_| {}))
    }

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes(), 4).unwrap()
    }

    fn later(mode: u32) -> Later {
        Later { uid: 5, gid: 65_535, mode: Some(mode), capability: Some([7; 20].into()) }
    }

    fn record(path: &EntryPath, later: &Later) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(path, later, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_record_reads_back_and_zeros_are_the_end() {
        let link = Later { mode: None, capability: None, ..later(0) };
        let mut bytes = record(&path("a/b"), &later(0o4755));
        bytes.extend(record(&path(""), &link));
        bytes.extend([0; 64]);
        let mut list = &bytes[..];
        let mut next = || decode(&mut list, 4, &budget()).unwrap();
        assert_eq!(next(), Some((path("a/b"), later(0o4755))));
        assert_eq!(next(), Some((path(""), link)));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_record_beyond_any_bound_is_refused() {
        let good = record(&path("a/b"), &later(0o755));
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            decode(&mut &bytes[..], 4, &budget()).unwrap_err().reason
        };
        assert!(refused(&|b| b[3] = 1).contains("user 65541"));
        assert!(refused(&|b| b[7] = 1).contains("group"));
        assert!(refused(&|b| b[11] = 1).contains("kind or mode"));
        assert!(refused(&|b| b[0] = SYMLINK).contains("kind or mode"));
        assert!(refused(&|b| b[17..20].copy_from_slice(b"/..")).contains("absolute"));
        assert!(refused(&|b| b[17..20].copy_from_slice(b"../")).contains("upwards"));
        assert!(refused(&|b| b[17] = 0).contains("zero byte"));
        assert!(refused(&|b| b.truncate(18)).contains("list of owners"));
    }

    #[test]
    fn a_list_is_bounded_and_what_is_replaced_costs_nothing() {
        let mut list = List::new(2 * (OVERHEAD as u64 + 21));
        for _ in 0..9 {
            list.put(&path("a"), later(0)).unwrap();
        }
        list.link(&path("a"), &path("b")).unwrap();
        list.link(&path("absent"), &path("d")).unwrap();
        assert!(list.put(&path("c"), later(0)).unwrap_err().reason.contains("the limit"));
        list.forget(&path("a"));
        list.put(&path("c"), later(0)).unwrap();
    }

    #[test]
    fn a_list_that_names_what_is_not_there_touches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out"), "").unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::os::unix::fs::symlink("../out", dir.path().join("root/l")).unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("root/d")).unwrap();
        let root = File::open(dir.path().join("root")).unwrap().into();
        for name in ["l", "d/out", "d", "absent"] {
            let reason = give(&root, &path(name), &later(0o4777)).unwrap_err().reason;
            assert!(reason.contains("was not unpacked"), "{name}: {reason}");
        }
    }
}
