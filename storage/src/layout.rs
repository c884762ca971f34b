//! A pool's folders, and the few motions that everything in them is made of.
//!
//! ```text
//! POOL/                     0700
//!   format.json             the pool's mark, see format.rs; locked while the pool is open
//!   layers/<fingerprint>/   see layers.rs
//!   volumes/<name>/
//!     layer -> <fingerprint>    the image it was made of (overlay)
//!     rw/upper, rw/work         overlay
//!     root/                     dir, and a volume made of nothing
//!     backup.yaml               its instance's configuration
//!   trash/                  on its way out; names mean nothing
//! ```
//!
//! Things are made under `.tmp-…` beside their place and renamed, and removed by a rename into
//! the trash. Which image a volume was made of is the text of a link, not a file's content:
//! the file system's journal keeps a link and the rename after it in their order, so no sync is
//! needed for a volume to be whole after a power cut or not there at all.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::folder::{self, DIRECTORY};
use crate::format::{self, Format};
use crate::lock;
use crate::name::VolumeName;
use crate::plan::Lease;
use crate::remove;
use crate::temporary::Temporary;

const BACKUP: &str = "backup.yaml";
const TEMPORARY: &str = ".tmp-";

/// What a pool's folder holds beside its format file.
pub(crate) const PARTS: [&str; 3] = ["layers", "volumes", "trash"];

/// An open pool.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    folder: OwnedFd,
    pub(crate) layers: OwnedFd,
    pub(crate) volumes: OwnedFd,
    trash: OwnedFd,
    /// The locked format file.
    _locked: File,
    /// Tells this opening's temporary names from those that an earlier one left.
    session: String,
    next: AtomicU64,
    /// One emptying of the trash at a time.
    emptying: Mutex<()>,
}

impl Layout {
    /// Opens and locks a pool, and makes the parts that it does not have yet.
    pub(crate) fn open(path: &Path) -> Result<(Self, Format)> {
        let (format, locked) = Format::read(path)?;
        if !lock::exclusive(&locked).map_err(Error::io("lock", path.join(format::FILE)))? {
            return Err(Error::InUse { what: "storage pool", name: path.display().to_string() });
        }
        make_private(path)?;
        for part in PARTS {
            make_private(&path.join(part))?;
        }
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let layout = Self {
            path: path.to_owned(),
            folder: open_folder(path)?,
            layers: open_folder(&path.join("layers"))?,
            volumes: open_folder(&path.join("volumes"))?,
            trash: open_folder(&path.join("trash"))?,
            _locked: locked,
            session: format!("{}-{:x}", std::process::id(), now.as_nanos()),
            next: AtomicU64::new(0),
            emptying: Mutex::default(),
        };
        Ok((layout, format))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// Whether the path still leads to what was opened: what is mounted for a guest is found by it.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        let opened = rustix::fs::fstat(&self.folder).map_err(Error::io("look at", &self.path))?;
        match rustix::fs::stat(&self.path) {
            Ok(found) if (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino) => Ok(()),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(Error::Moved { path: self.path.clone() })
            }
            Err(error) => Err(Error::io("look at", &self.path)(error)),
        }
    }

    pub(crate) fn layer_path(&self, name: &str) -> PathBuf {
        self.path.join("layers").join(name)
    }

    pub(crate) fn volume_path(&self, name: &VolumeName) -> PathBuf {
        self.path.join("volumes").join(name.as_str())
    }

    /// A name that nothing of this or an earlier opening has.
    fn unique(&self) -> String {
        format!("{}-{}", self.session, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Begins to make a layer.
    pub(crate) fn new_layer(&self) -> Result<Temporary<'_>> {
        self.temporary(&self.layers, "layers")
    }

    /// Begins to make a volume.
    pub(crate) fn new_volume(&self) -> Result<Temporary<'_>> {
        self.temporary(&self.volumes, "volumes")
    }

    /// Makes an empty folder where volumes are made, and removes it.
    pub(crate) fn touch(&self) -> Result<()> {
        let name = format!("{TEMPORARY}{}", self.unique());
        let error = |step| Error::io(step, self.path.join("volumes").join(&name));
        rustix::fs::mkdirat(&self.volumes, &name, Mode::RWXU).map_err(error("make directory"))?;
        rustix::fs::unlinkat(&self.volumes, &name, AtFlags::REMOVEDIR).map_err(error("remove"))
    }

    fn temporary<'a>(&'a self, parent: &'a OwnedFd, below: &str) -> Result<Temporary<'a>> {
        let name = format!("{TEMPORARY}{}", self.unique());
        let path = self.path.join(below).join(&name);
        Temporary::new(self, parent, name, path)
    }

    /// Moves an entry to the trash. Not there is as good as moved; that the trash itself was taken away
    /// is the same error of the kernel's, and is one.
    pub(crate) fn discard<Fd: AsFd>(&self, parent: Fd, name: &str) -> Result<(), Errno> {
        let moved = rustix::fs::renameat_with(
            &parent,
            name,
            &self.trash,
            self.unique(),
            RenameFlags::NOREPLACE,
        );
        match moved {
            Err(Errno::NOENT) => {
                match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => Ok(()),
                    _ => Err(Errno::NOENT),
                }
            }
            other => other,
        }
    }

    /// Removes what lies in the trash.
    pub(crate) fn empty_trash(&self) -> Result<()> {
        let _one = self.emptying.lock().unwrap_or_else(PoisonError::into_inner);
        remove::empty(&self.trash).map_err(Error::io("empty", self.path.join("trash")))
    }

    /// Discards what an earlier opening left half made among layers and volumes.
    pub(crate) fn discard_half_made(&self) -> Result<()> {
        let own = format!("{TEMPORARY}{}-", self.session);
        for (folder, below) in [(&self.layers, "layers"), (&self.volumes, "volumes")] {
            let names = self.names(folder, below, |name, _| {
                name.starts_with(TEMPORARY) && !name.starts_with(&own)
            })?;
            for name in names {
                self.discard(folder, &name)
                    .map_err(Error::io("discard", self.path.join(below).join(&name)))?;
            }
        }
        Ok(())
    }

    /// Removes what an interrupted writing of a volume's backup left beside it.
    pub(crate) fn discard_half_written(&self, name: &VolumeName) -> Result<()> {
        let path = self.volume_path(name);
        let folder = self.open_volume(name)?;
        let own = format!("{TEMPORARY}{}-", self.session);
        for entry in folder::entries(&folder).map_err(Error::io("read directory", &path))? {
            let file = entry.name.to_string_lossy();
            if !file.starts_with(TEMPORARY) || file.starts_with(&own) {
                continue;
            }
            rustix::fs::unlinkat(&folder, &entry.name, AtFlags::empty())
                .map_err(Error::io("remove", path.join(&*file)))?;
        }
        Ok(())
    }

    /// The entries of one folder that a test accepts by name and kind, sorted.
    pub(crate) fn names(
        &self,
        folder: &OwnedFd,
        below: &str,
        accept: impl Fn(&str, FileType) -> bool,
    ) -> Result<Vec<String>> {
        let entries =
            folder::entries(folder).map_err(Error::io("read directory", self.path.join(below)))?;
        let named = entries.into_iter().map(|entry| (entry.name.into_string(), entry.kind));
        let mut names: Vec<_> =
            named.filter_map(|(name, kind)| name.ok().filter(|name| accept(name, kind))).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The folders among the entries that have a proper name, sorted.
    pub(crate) fn folders<N: FromStr>(&self, folder: &OwnedFd, below: &str) -> Result<Vec<N>> {
        let names = self.names(folder, below, |_, kind| kind == FileType::Directory)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Logs the entries that are neither [`folders`](Self::folders) nor half made. Returns whether
    /// one of them is in the place of a folder.
    pub(crate) fn tell_odd<N: FromStr>(&self, folder: &OwnedFd, below: &str) -> Result<bool> {
        let proper = |name: &str| name.parse::<N>().is_ok();
        let odd = self.names(folder, below, |name, kind| {
            let ours = proper(name) && kind == FileType::Directory;
            !ours && !name.starts_with(TEMPORARY)
        })?;
        for name in &odd {
            let path = self.path.join(below).join(name);
            tracing::warn!(path = %path.display(), "what is not the pool's is left alone");
        }
        Ok(odd.iter().any(|name| proper(name)))
    }

    /// The volumes, sorted.
    pub(crate) fn volume_names(&self) -> Result<Vec<VolumeName>> {
        self.folders(&self.volumes, "volumes")
    }

    pub(crate) fn has_volume(&self, name: &VolumeName) -> Result<bool> {
        folder::exists(&self.volumes, name.as_str())
            .map_err(Error::io("stat", self.volume_path(name)))
    }

    /// Opens a volume's folder.
    pub(crate) fn open_volume(&self, name: &VolumeName) -> Result<OwnedFd> {
        match rustix::fs::openat(&self.volumes, name.as_str(), DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => Err(Error::NoVolume { name: name.to_string() }),
            // A link is never followed.
            Err(Errno::NOTDIR | Errno::LOOP) => Err(Error::Volume {
                path: self.volume_path(name),
                reason: "a symbolic link or a file is in its place: put its folder back there",
            }),
            other => other.map_err(Error::io("open", self.volume_path(name))),
        }
    }

    /// Locks a volume's folder.
    pub(crate) fn lease(&self, name: &VolumeName) -> Result<Lease> {
        let fd = self.open_volume(name)?;
        if !lock::exclusive(&fd).map_err(Error::io("lock", self.volume_path(name)))? {
            return Err(Error::InUse { what: "volume", name: name.to_string() });
        }
        // Between the opening and the lock it may have been deleted and made anew.
        let locked = rustix::fs::fstat(&fd).map_err(Error::io("stat", self.volume_path(name)))?;
        match rustix::fs::statat(&self.volumes, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if (now.st_dev, now.st_ino) == (locked.st_dev, locked.st_ino) => {
                Ok(Lease { fd })
            }
            Ok(_) | Err(Errno::NOENT) => Err(Error::NoVolume { name: name.to_string() }),
            Err(err) => Err(Error::io("stat", self.volume_path(name))(err)),
        }
    }

    /// Moves a volume that nobody has leased to the trash.
    pub(crate) fn delete_volume(&self, name: &VolumeName) -> Result<()> {
        let lease = self.lease(name)?;
        let result = self.discard(&self.volumes, name.as_str());
        lease.give_up();
        result.map_err(Error::io("discard", self.volume_path(name)))
    }

    pub(crate) fn write_backup(&self, name: &VolumeName, content: &[u8]) -> Result<()> {
        let folder = self.open_volume(name)?;
        let temporary = format!("{TEMPORARY}{}", self.unique());
        replace_file(&folder, &self.volume_path(name), BACKUP, &temporary, content)
    }

    pub(crate) fn read_backup(&self, name: &VolumeName) -> Result<Option<Vec<u8>>> {
        let folder = self.open_volume(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = || self.volume_path(name).join(BACKUP);
        let file = match rustix::fs::openat(&folder, BACKUP, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(Error::io("open", path()))?,
        };
        let mut content = Vec::new();
        File::from(file).read_to_end(&mut content).map_err(Error::io("read", path()))?;
        Ok(Some(content))
    }

    /// See [`Driver::settle`](crate::Driver::settle).
    pub(crate) fn settle(&self, beside: &Path) -> Result<()> {
        let known = fs::metadata(beside).map_err(Error::io("stat", beside))?;
        let own = rustix::fs::fstat(&self.folder).map_err(Error::io("stat", &self.path))?;
        let kind = rustix::fs::fstatfs(&self.folder)
            .map_err(Error::io("stat file system of", &self.path))?;
        if own.st_dev == known.dev() && IN_ORDER.contains(&kind.f_type) {
            return Ok(());
        }
        self.sync()
    }

    /// Waits until everything written to the pool's file system is on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.folder).map_err(Error::io("sync file system of", &self.path))
    }
}

/// The magic numbers of file systems that write their changes to the disk in the order they were made in, so
/// that a sync of one has the earlier ones there (statfs(2)): ext4 and XFS. (An ext4 without its journal has
/// the same number, and promises nothing.)
const IN_ORDER: [rustix::fs::FsWord; 2] = [0xef53, 0x5846_5342];

/// Replaces a file whole: written beside it, synced, renamed, the folder synced.
pub(crate) fn replace_file(
    folder: &OwnedFd,
    path: &Path,
    name: &str,
    temporary: &str,
    content: &[u8],
) -> Result<()> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = path.join(name);
    let file = rustix::fs::openat(folder, temporary, flags, Mode::RUSR | Mode::WUSR)
        .map_err(Error::io("create", path.join(temporary)))?;
    let mut file = File::from(file);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(err) = written {
        // The failure to write is what the caller has to know; an earlier content stays.
        let _ = rustix::fs::unlinkat(folder, temporary, AtFlags::empty());
        return Err(Error::io("write", target)(err));
    }
    rustix::fs::renameat(folder, temporary, folder, name).map_err(Error::io("rename", &target))?;
    rustix::fs::fsync(folder).map_err(Error::io("sync", path))
}

/// Makes a directory that only its owner can enter, or closes one that is there.
fn make_private(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io("make directory", path)(err));
        }
        _ => {}
    }
    // Guests' setuid files lie below with host root as their owner.
    let found = fs::symlink_metadata(path).map_err(Error::io("stat", path))?;
    if !found.is_dir() {
        let reason = "it is no directory".to_owned();
        return Err(Error::Format { path: path.to_owned(), reason });
    }
    if found.mode() & 0o7777 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(Error::io("set mode of", path))?;
    }
    Ok(())
}

pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(Error::io("open", path))
}
