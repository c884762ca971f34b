//! Owners, modes, times and extended attributes.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags},
    io::Errno,
};
use sc_api::quoted;

use super::Tree;
use crate::inside::{
    path::EntryPath,
    report::{Failure, Inside},
    tarfile::Entry,
    xattr::{self, Fate},
};

/// What an inode has beside its content.
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Tree<'_> {
    pub(super) fn attributes(&mut self, mut entry: Entry) -> Inside<Attributes> {
        let mut kept = Vec::with_capacity(entry.xattrs.len());
        for (name, value) in std::mem::take(&mut entry.xattrs) {
            match xattr::fate(&name) {
                Fate::Keep => kept.push((name, value)),
                Fate::Drop => self.budget.stats.dropped_xattrs += 1,
                Fate::Refuse => return Err(Failure::image(xattr::refusal(&name))),
            }
        }
        Ok(Attributes { xattrs: kept, ..self.attributes_of(&entry)? })
    }

    pub(super) fn attributes_of(&self, entry: &Entry) -> Inside<Attributes> {
        if let Some((name, _)) =
            entry.xattrs.iter().find(|(name, _)| xattr::fate(name) == Fate::Refuse)
        {
            return Err(Failure::image(xattr::refusal(name)));
        }
        Ok(Attributes {
            mode: entry.mode,
            uid: self.budget.id(entry.uid, "user")?,
            gid: self.budget.id(entry.gid, "group")?,
            mtime: entry.mtime,
            xattrs: Vec::new(),
        })
    }

    /// Owner before mode and capability, which a change of owner takes away; times last.
    pub(super) fn apply(
        &mut self,
        fd: &OwnedFd,
        attributes: Attributes,
        folder: bool,
    ) -> Inside<()> {
        let owner = (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)));
        rustix::fs::fchown(fd, owner.0, owner.1).map_err(|e| Failure::machine("set owner", e))?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(attributes.mode))
            .map_err(|error| Failure::machine("set mode", error))?;
        for (name, value) in &attributes.xattrs {
            if name == b"system.posix_acl_default" && !folder {
                self.budget.stats.dropped_xattrs += 1;
                continue;
            }
            rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty())
                .map_err(|errno| xattr_failed(name, errno))?;
        }
        rustix::fs::futimens(fd, &times(attributes.mtime))
            .map_err(|error| Failure::machine("set time", error))
    }

    /// Owner, mode and times of what cannot be opened. Its folder is the current one.
    pub(super) fn own_by_name(
        &self,
        path: &EntryPath,
        attributes: &Attributes,
        mode: bool,
    ) -> Inside<()> {
        let (_, name) = path.split();
        let parent = &self.last.as_ref().expect("make has set it").1;
        let owner = (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)));
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(parent, name, owner.0, owner.1, nofollow)
            .map_err(|error| Failure::machine("set owner", error))?;
        if mode {
            let mode = Mode::from_raw_mode(attributes.mode);
            rustix::fs::chmodat(parent, name, mode, AtFlags::empty())
                .map_err(|error| Failure::machine("set mode", error))?;
        }
        rustix::fs::utimensat(parent, name, &times(attributes.mtime), nofollow)
            .map_err(|error| Failure::machine("set time", error))
    }
}

fn xattr_failed(name: &[u8], errno: Errno) -> Failure {
    let name = quoted(&String::from_utf8_lossy(name));
    match errno {
        Errno::NOTSUP => Failure::machine(
            format!("set extended attribute {name}"),
            "the filesystem does not have them: put the storage pool on one that has",
        ),
        Errno::INVAL | Errno::PERM => {
            Failure::image(format!("its extended attribute {name} has a value that is not allowed"))
        }
        errno => Failure::machine(format!("set extended attribute {name}"), errno),
    }
}

fn times(mtime: (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.0, tv_nsec: mtime.1.into() },
    }
}
