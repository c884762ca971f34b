//! The directory that becomes a root filesystem, filled entry by entry.
//!
//! No symbolic link is ever followed: an entry's folder is opened with openat2(2) below the root, and
//! the entry itself is made anew in it. Folders get their mode, times and attributes at the end
//! ([`Tree::finish`]), since files made in them would change the times, inherit default ACLs and
//! setgid bits, and those below a folder before it, which may forbid to go through.
//!
//! No capability is needed: all of it is root's, who does the work. What is another's, or has a
//! capability, is put off ([`List`]).

mod attributes;
mod folders;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
};

use sc_api::quoted;

pub(crate) use self::attributes::xattr_failed;
use self::{
    attributes::Attributes,
    folders::{gone, no_folder},
};
use super::{
    budget::Budget,
    device::check_device,
    owners::List,
    path::EntryPath,
    tarfile::{Archive, Entry, Kind, Segment},
};
use crate::wire::{Failure, Inside};

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The tree under construction.
pub(crate) struct Tree<'a> {
    root: OwnedFd,
    budget: &'a mut Budget,
    /// The folder of the last entry, which is mostly that of the next one too.
    last: Option<(Vec<u8>, OwnedFd)>,
    folders: BTreeMap<EntryPath, Attributes>,
    later: List,
    dropped: HashSet<EntryPath>,
    buffer: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// Starts in `root`, an empty directory, which gets root's ownership and mode 0755 until an entry
    /// says otherwise.
    pub(crate) fn new(root: OwnedFd, budget: &'a mut Budget, later: List) -> Inside<Self> {
        let own = rustix::fs::fchown(&root, Some(Uid::ROOT), Some(Gid::ROOT));
        own.and_then(|()| rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755)))
            .map_err(|error| Failure::machine("prepare the target directory", error))?;
        Ok(Self {
            root,
            budget,
            last: None,
            folders: BTreeMap::new(),
            later,
            dropped: HashSet::new(),
            buffer: vec![0; 256 << 10],
        })
    }

    /// Makes an entry at `path`; `link` is what a hard link names, seen from the same root.
    pub(crate) fn add<R: Read>(
        &mut self,
        path: EntryPath,
        link: Option<EntryPath>,
        entry: Entry,
        data: &mut Archive<R>,
    ) -> Inside<()> {
        if self.drop_device(&path, link.as_ref(), &entry.kind)? {
            return Ok(());
        }
        self.budget.take_entry()?;
        let kind = entry.kind.clone();
        if path.is_root() && kind != Kind::Directory {
            return Err(Failure::image(
                "the root of the filesystem is not a folder in the archive",
            ));
        }
        match kind {
            Kind::Directory => self.folder(path, entry),
            Kind::File => self.file(&path, entry, data),
            Kind::Symlink => self.symlink(&path, entry),
            Kind::HardLink => self.hard_link(&path, link),
            Kind::Fifo => self.fifo(&path, entry),
            Kind::CharDevice(..) | Kind::BlockDevice(..) => {
                unreachable!("devices are dropped or refused before")
            }
            Kind::Other(byte) => Err(Failure::image(format!(
                "it is of a type ({:?}) that is not supported: pack the image anew with GNU tar or \
                 bsdtar",
                char::from(byte)
            ))),
        }
    }

    /// Finishes the folders, and returns what is put off still. Call it once, after the last entry.
    pub(crate) fn finish(mut self) -> Inside<List> {
        // Backwards, what is in a folder comes before it.
        for (path, attributes) in std::mem::take(&mut self.folders).into_iter().rev() {
            // A folder that a later entry replaced by something else is not there any more.
            let Some(fd) = self.open_folder(path.bytes()).map(Some).or_else(gone)? else {
                continue;
            };
            self.apply(&path, &fd, attributes, true)
                .map_err(|failure| failure.entry(path.bytes()))?;
        }
        if self.later.is_empty() {
            sync(&self.root)?;
        }
        Ok(self.later)
    }

    /// Devices below `dev/` are left out, with the links to them: an instance gets devices of its own.
    fn drop_device(
        &mut self,
        path: &EntryPath,
        link: Option<&EntryPath>,
        kind: &Kind,
    ) -> Inside<bool> {
        let drop = match kind {
            Kind::CharDevice(..) | Kind::BlockDevice(..) => {
                check_device(path, *kind == Kind::CharDevice(0, 0))?;
                self.budget.stats.dropped_devices += 1;
                true
            }
            Kind::HardLink => link.is_some_and(|link| self.dropped.contains(link)),
            _ => false,
        };
        if drop {
            self.budget.take_entry()?;
            self.dropped.insert(path.clone());
        }
        Ok(drop)
    }

    fn folder(&mut self, path: EntryPath, entry: Entry) -> Inside<()> {
        if !path.is_root() {
            let (folder, name) = path.split();
            self.in_folder(folder)?;
            let parent = &self.last.as_ref().expect("in_folder has set it").1;
            let mode = Mode::from_raw_mode(0o700);
            match rustix::fs::mkdirat(parent, name, mode) {
                Err(Errno::EXIST) if is_folder(parent, name)? => {}
                Err(Errno::EXIST) => {
                    self.remove(&path)?;
                    let parent = &self.last.as_ref().expect("remove keeps the folder").1;
                    rustix::fs::mkdirat(parent, name, mode).map_err(no_folder)?;
                }
                made => made.map_err(no_folder)?,
            }
        }
        let attributes = self.attributes(entry)?;
        let attributes = match self.folders.remove(&path) {
            Some(earlier) => attributes.over(earlier),
            None => attributes,
        };
        self.folders.insert(path, attributes);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        path: &EntryPath,
        mut entry: Entry,
        data: &mut Archive<R>,
    ) -> Inside<()> {
        self.budget.take_bytes(entry.size)?;
        let sparse = entry.sparse.take();
        let size = entry.size;
        let attributes = self.attributes(entry)?;
        let fd = self.make(path, |parent, name| {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
        })?;
        let whole = [Segment { offset: 0, length: size }];
        for segment in sparse.as_deref().unwrap_or(&whole) {
            self.write(&fd, *segment, data)?;
        }
        if sparse.is_some() {
            rustix::fs::ftruncate(&fd, size).map_err(|e| Failure::machine("set file size", e))?;
        }
        self.apply(path, &fd, attributes, false)
    }

    fn write<R: Read>(&mut self, fd: &OwnedFd, at: Segment, data: &mut Archive<R>) -> Inside<()> {
        let (mut offset, end) = (at.offset, at.offset + at.length);
        while offset < end {
            let n = self.buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            data.read_data(&mut self.buffer[..n])?;
            let mut rest = &self.buffer[..n];
            while !rest.is_empty() {
                let written = rustix::io::pwrite(fd, rest, offset)
                    .map_err(|error| Failure::machine("write file", error))?;
                rest = &rest[written..];
                offset += written as u64;
            }
            self.budget.tick();
        }
        Ok(())
    }

    fn symlink(&mut self, path: &EntryPath, entry: Entry) -> Inside<()> {
        if entry.link.is_empty() || entry.link.contains(&0) || entry.link.len() >= 4096 {
            return Err(Failure::image("the target of its symbolic link is no possible path"));
        }
        self.make(path, |parent, name| rustix::fs::symlinkat(entry.link.as_slice(), parent, name))?;
        self.budget.stats.dropped_xattrs += entry.xattrs.len() as u64;
        let attributes = self.attributes_of(&entry)?;
        self.apply_by_name(path, attributes, false)
    }

    fn hard_link(&mut self, path: &EntryPath, link: Option<EntryPath>) -> Inside<()> {
        let link = link.ok_or_else(|| Failure::image("its hard link names nothing"))?;
        if link == *path {
            return Err(Failure::image("it is a hard link to itself"));
        }
        let shown = quoted(&String::from_utf8_lossy(link.bytes()));
        let (folder, name) = link.split();
        let absent = || {
            Failure::image(format!(
                "it is a hard link to {shown}, which the archive does not have before it"
            ))
        };
        let folder = match self.open_folder(folder) {
            Err(failure) if failure.is_missing() => return Err(absent()),
            opened => opened?,
        };
        let missing = |errno| match errno {
            Errno::NOENT => absent(),
            Errno::PERM => {
                Failure::image(format!("it is a hard link to {shown}, which is a folder"))
            }
            errno => Failure::machine(format!("link to {shown}"), errno),
        };
        // Looked at first, so that a missing target does not cost the file that is to be replaced.
        rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        let (parent, new) = path.split();
        self.in_folder(parent)?;
        let attempt = |tree: &Self| {
            let parent = &tree.last.as_ref().expect("in_folder has set it").1;
            rustix::fs::linkat(&folder, name, parent, new, AtFlags::empty())
        };
        match attempt(self) {
            Err(Errno::EXIST) => {
                self.remove(path)?;
                attempt(self).map_err(missing)
            }
            made => made.map_err(missing),
        }?;
        self.later.link(&link, path)
    }

    fn fifo(&mut self, path: &EntryPath, entry: Entry) -> Inside<()> {
        self.make(path, |parent, name| {
            rustix::fs::mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        })?;
        let attributes = Attributes { capability: None, ..self.attributes(entry)? };
        self.apply_by_name(path, attributes, true)
    }

    /// Makes something in the folder of `path`, in place of what may be there.
    fn make<T>(
        &mut self,
        path: &EntryPath,
        how: impl Fn(&OwnedFd, &[u8]) -> Result<T, Errno>,
    ) -> Inside<T> {
        let (folder, name) = path.split();
        self.in_folder(folder)?;
        let failed = |errno| match errno {
            Errno::NAMETOOLONG => Failure::image("its name is too long for the filesystem"),
            Errno::ILSEQ | Errno::INVAL => Failure::image("its name cannot be on this filesystem"),
            errno => Failure::machine("make it", errno),
        };
        match how(&self.last.as_ref().expect("in_folder has set it").1, name) {
            Err(Errno::EXIST) => {
                self.remove(path)?;
                how(&self.last.as_ref().expect("remove keeps the folder").1, name).map_err(failed)
            }
            made => made.map_err(failed),
        }
    }

    /// Removes what an earlier entry put at a path in the current folder.
    fn remove(&mut self, path: &EntryPath) -> Inside<()> {
        let (_, name) = path.split();
        self.later.forget(path);
        let parent = &self.last.as_ref().expect("in_folder has set it").1;
        let flags = if is_folder(parent, name)? { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(parent, name, flags).map_err(|errno| match errno {
            Errno::NOTEMPTY => Failure::image(
                "the archive has a folder with files under the same path before it: pack it anew",
            ),
            errno => Failure::machine("replace an earlier entry", errno),
        })
    }
}

/// Waits until all of it is on disk.
pub(crate) fn sync(root: &OwnedFd) -> Inside<()> {
    rustix::fs::syncfs(root).map_err(|error| Failure::machine("write to disk", error))
}

fn is_folder(parent: impl AsFd, name: &[u8]) -> Inside<bool> {
    let stat = rustix::fs::statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| Failure::machine("look at an earlier entry", error))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Opens the target directory as the sandbox shows it.
pub(crate) fn open_target(path: &str) -> Inside<OwnedFd> {
    rustix::fs::openat(CWD, path, FOLDER, Mode::empty())
        .map_err(|error| Failure::machine("open the target directory", io::Error::from(error)))
}
