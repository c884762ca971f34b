//! Owners, modes, times and extended attributes.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{AtFlags, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags},
    io::Errno,
};
use sc_api::quoted;

use super::Tree;
use crate::inside::{
    owners::{CAPABILITY, Later},
    path::EntryPath,
    tarfile::Entry,
    xattr::{self, Fate},
};
use crate::wire::{Failure, Inside};

/// What an inode has beside its content.
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) capability: Option<Box<[u8]>>,
}

/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;
const USER: &[u8] = b"user.";

impl Attributes {
    /// Takes over what an earlier entry for the same folder had and this one has not.
    pub(super) fn over(mut self, earlier: Self) -> Self {
        let mut xattrs = earlier.xattrs;
        xattrs.append(&mut self.xattrs);
        Self { xattrs, capability: self.capability.or(earlier.capability), ..self }
    }

    /// Whether all of it can be had without a capability.
    fn is_plain(&self) -> bool {
        self.uid == 0 && self.gid == 0 && self.capability.is_none()
    }

    /// The mode for now: whoever is not the owner yet gets no set-id bits.
    fn first_mode(&self) -> Mode {
        Mode::from_raw_mode(if self.is_plain() { self.mode } else { self.mode & !SET_ID })
    }

    /// What is put off; `mode` is the one that it has by now.
    fn later(self, mode: Option<u32>) -> Later {
        let mode = mode.map(|mode| mode & 0o777 | self.mode & !0o777);
        Later { uid: self.uid, gid: self.gid, mode, capability: self.capability }
    }
}

impl Tree<'_> {
    pub(super) fn attributes(&mut self, mut entry: Entry) -> Inside<Attributes> {
        let mut kept = Vec::with_capacity(entry.xattrs.len());
        let mut capability = None;
        for (name, value) in std::mem::take(&mut entry.xattrs) {
            match xattr::fate(&name) {
                Fate::Keep if name == CAPABILITY => capability = Some(value.into()),
                Fate::Keep => kept.push((name, value)),
                Fate::Drop => self.budget.stats.dropped_xattrs += 1,
                Fate::Refuse => return Err(Failure::image(xattr::refusal(&name))),
            }
        }
        Ok(Attributes { xattrs: kept, capability, ..self.attributes_of(&entry)? })
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
            capability: None,
        })
    }

    /// Users' attributes before the mode, which may forbid to write them; ACLs after it, as they
    /// change it; times last. What needs a capability is put off.
    pub(super) fn apply(
        &mut self,
        path: &EntryPath,
        fd: &OwnedFd,
        attributes: Attributes,
        folder: bool,
    ) -> Inside<()> {
        let (first, second): (Vec<_>, Vec<_>) =
            attributes.xattrs.iter().partition(|(name, _)| name.starts_with(USER));
        let set = |(name, value): &(Vec<u8>, Vec<u8>)| {
            rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty())
                .map_err(|errno| xattr_failed(name, errno))
        };
        first.into_iter().try_for_each(set)?;
        rustix::fs::fchmod(fd, attributes.first_mode())
            .map_err(|error| Failure::machine("set mode", error))?;
        for xattr in second {
            if xattr.0 == b"system.posix_acl_default" && !folder {
                self.budget.stats.dropped_xattrs += 1;
                continue;
            }
            set(xattr)?;
        }
        rustix::fs::futimens(fd, &times(attributes.mtime))
            .map_err(|error| Failure::machine("set time", error))?;
        if attributes.is_plain() {
            return Ok(());
        }
        let stat = rustix::fs::fstat(fd).map_err(|e| Failure::machine("look at it", e))?;
        self.later.put(path, attributes.later(Some(stat.st_mode)))
    }

    /// Mode and times of what cannot be opened. Its folder is the current one. The owner is put off.
    pub(super) fn apply_by_name(
        &mut self,
        path: &EntryPath,
        attributes: Attributes,
        mode: bool,
    ) -> Inside<()> {
        let (_, name) = path.split();
        let parent = &self.last.as_ref().expect("make has set it").1;
        if mode {
            rustix::fs::chmodat(parent, name, attributes.first_mode(), AtFlags::empty())
                .map_err(|error| Failure::machine("set mode", error))?;
        }
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(parent, name, &times(attributes.mtime), nofollow)
            .map_err(|error| Failure::machine("set time", error))?;
        if attributes.is_plain() {
            return Ok(());
        }
        let mode = mode.then_some(attributes.mode);
        self.later.put(path, attributes.later(mode))
    }
}

pub(crate) fn xattr_failed(name: &[u8], errno: Errno) -> Failure {
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
