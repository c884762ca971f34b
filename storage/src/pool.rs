//! Making, opening and taking away pools.
//!
//! A folder is a pool from the moment that it has its mark, the format file, until that is gone:
//! the mark is written before anything else is made and removed after everything else. Whatever a
//! folder without a mark holds is somebody else's, and so is the folder: one that is made for a pool
//! gets its mark, and loses it, under another name.
//!
//! ```text
//! made:    .tmp-sc-pool-NAME ──mark──> .tmp-sc-pool-NAME ──rename──> NAME
//! removed: NAME ──parts removed──> NAME ──rename──> .tmp-sc-pool-NAME ──> nothing
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::driver::{self, Driver, DriverKind};
use crate::error::{Error, Result};
use crate::folder;
use crate::format::{self, Format, Origin};
use crate::layout::{self, Layout};
use crate::lock;
use crate::remove;

/// What the name of a folder begins with that is made for a pool and is none yet, or none any more.
const HALF_MADE: &str = ".tmp-sc-pool-";

/// Makes a pool in a folder that does not exist or is empty, and opens it.
///
/// A folder that exists outlives the pool; one that does not is made, goes with the pool, and
/// must have a parent. No driver has options yet, so any is refused.
///
/// # Errors
///
/// [`Error::Exists`](crate::Error::Exists) where the folder holds something,
/// [`Error::UnknownOption`](crate::Error::UnknownOption). Nothing is left behind.
pub fn create(
    path: &Path,
    kind: DriverKind,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn Driver>> {
    if let Some(option) = options.keys().next() {
        return Err(Error::UnknownOption { driver: kind.as_str(), option: option.clone() });
    }
    match fs::symlink_metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => make(path, kind)?,
        Err(err) => return Err(Error::io("stat", path)(err)),
        Ok(_) => drop(mark(path, &Format::new(kind, Origin::Given))?),
    }
    open(path).inspect_err(|_| {
        if let Err(err) = destroy(path) {
            let error = &err as &dyn std::error::Error;
            tracing::warn!(pool = %path.display(), error, "half-made pool stays");
        }
    })
}

/// Makes a folder that is a pool from the first.
fn make(path: &Path, kind: DriverKind) -> Result<()> {
    let half = half_path(path);
    remove_half(path)?;
    DirBuilder::new().mode(0o700).create(&half).map_err(Error::io("make directory", path))?;
    let placed = mark(&half, &Format::new(kind, Origin::Made)).and_then(|_locked| {
        rename(&half, path).map_err(Error::io("make directory", path))?;
        sync_parent(path)
    });
    placed.inspect_err(|_| {
        // Why there is no pool is what the caller has to know; the next creation or removal takes it away.
        let _ = remove_half(path);
    })
}

/// Where a folder is that is made for a pool, before it is the pool and after.
fn half_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(HALF_MADE);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

/// Removes what an interrupted creation or removal has left.
fn remove_half(path: &Path) -> Result<()> {
    let half = half_path(path);
    let folder = match layout::open_folder(&half) {
        Err(_) if !half.exists() => return Ok(()),
        other => other?,
    };
    check_lock(&folder, path)?;
    format::remove(&half, format::HALF_WRITTEN)?;
    format::remove(&half, format::FILE)?;
    remove_folder(&half)
}

/// Renames a folder to a name that is nobody's.
fn rename(from: &Path, to: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can see to that by itself, as those of the network.
        Err(Errno::INVAL) => rustix::fs::rename(from, to),
        other => other,
    }
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    let folder = File::open(parent).map_err(Error::io("open", parent))?;
    folder.sync_all().map_err(Error::io("sync", parent))
}

/// Of two that begin at once one is first.
fn check_lock(folder: &OwnedFd, path: &Path) -> Result<()> {
    match lock::exclusive(folder).map_err(Error::io("lock", path))? {
        true => Ok(()),
        false => Err(Error::InUse { what: "folder", name: path.display().to_string() }),
    }
}

/// Makes a folder a pool, unless it holds something. It is locked until what is returned is dropped.
fn mark(path: &Path, format: &Format) -> Result<OwnedFd> {
    let folder = layout::open_folder(path)?;
    check_lock(&folder, path)?;
    refuse_content(&folder, path)?;
    format.write(&folder, path)?;
    Ok(folder)
}

/// A mark that an interrupted creation was writing is no content.
fn refuse_content(folder: &OwnedFd, path: &Path) -> Result<()> {
    let entries = folder::entries(folder).map_err(Error::io("read directory", path))?;
    if entries.iter().all(|entry| entry.name.to_bytes() == format::HALF_WRITTEN.as_bytes()) {
        return Ok(());
    }
    let what = "the content of storage pool folder";
    Err(Error::Exists { what, name: path.display().to_string() })
}

/// Opens a pool; the driver is the one that its format file names.
///
/// The pool is locked until the returned driver is dropped, so that one daemon only works in it.
///
/// # Errors
///
/// [`Error::Format`](crate::Error::Format) where the folder is no pool or of another version,
/// [`Error::InUse`](crate::Error::InUse) where it is open already.
pub fn open(path: &Path) -> Result<Arc<dyn Driver>> {
    let (layout, format) = Layout::open(path)?;
    let kind = format.driver()?;
    if kind == DriverKind::Overlay && format.xattr_namespace.as_deref() != Some("trusted") {
        let reason = "its overlays keep their marks in attributes that this version does not read";
        return Err(Error::Format { path: path.to_owned(), reason: reason.to_owned() });
    }
    driver::take_up(kind, layout)
}

/// Whether a folder has a pool's mark.
///
/// # Errors
///
/// As [`destroy`].
pub fn is_pool(path: &Path) -> Result<bool> {
    Ok(Format::find(path)?.is_some())
}

/// Removes a pool with all that is in it, half made or half removed ones too. The folder goes
/// where it was made for the pool and holds nothing else. A folder without a pool's mark is left
/// alone, and one that is not there is fine.
///
/// # Errors
///
/// [`Error::InUse`](crate::Error::InUse) where the pool is open,
/// [`Error::Format`](crate::Error::Format) where its mark cannot be read.
pub fn destroy(path: &Path) -> Result<()> {
    remove_half(path)?;
    let Some((format, file)) = Format::find(path)? else {
        return format::remove(path, format::HALF_WRITTEN);
    };
    if !lock::exclusive(&file).map_err(Error::io("lock", path.join(format::FILE)))? {
        return Err(Error::InUse { what: "storage pool", name: path.display().to_string() });
    }
    for part in layout::PARTS {
        remove_part(&path.join(part))?;
    }
    if format.origin() == Origin::Given {
        return format::remove(path, format::FILE);
    }
    if holds_its_mark_alone(path)? && rename(path, &half_path(path)).is_ok() {
        return remove_half(path);
    }
    // Something else is in it, or mounted.
    format::remove(path, format::FILE)?;
    remove_folder(path)
}

fn holds_its_mark_alone(path: &Path) -> Result<bool> {
    let folder = layout::open_folder(path)?;
    let entries = folder::entries(&folder).map_err(Error::io("read directory", path))?;
    Ok(entries.iter().all(|entry| entry.name.to_bytes() == format::FILE.as_bytes()))
}

/// Removes one of a pool's folders with its content.
fn remove_part(part: &Path) -> Result<()> {
    match fs::symlink_metadata(part) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(Error::io("stat", part)(err)),
        Ok(found) if found.is_dir() => {
            let folder = layout::open_folder(part)?;
            remove::empty(&folder).map_err(Error::io("empty", part))?;
            remove_folder(part)
        }
        // What a link points at is not the pool's.
        Ok(_) => fs::remove_file(part).map_err(Error::io("remove", part)),
    }
}

/// Removes an empty folder. One that somebody has put something in, or mounted, stays.
fn remove_folder(path: &Path) -> Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
    match fs::remove_dir(path) {
        Err(err) if matches!(err.kind(), DirectoryNotEmpty | NotFound | ResourceBusy) => Ok(()),
        other => other.map_err(Error::io("remove", path)),
    }
}
