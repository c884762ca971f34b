//! Making, opening and taking away pools.
//!
//! A folder is a pool from the moment that it has its mark, the format file, until that is gone:
//! the mark is written before anything else is made and removed after everything else. Whatever a
//! folder without a mark holds is somebody else's.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::driver::{self, Driver, DriverKind};
use crate::error::{Error, Result};
use crate::folder;
use crate::format::{self, Format, Origin};
use crate::layout::{self, Layout};
use crate::lock;
use crate::remove;

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
    let origin = match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Origin::Made,
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Origin::Given,
        Err(err) => return Err(Error::io("make directory", path)(err)),
    };
    mark(path, &Format::new(kind, origin))?;
    open(path).inspect_err(|_| {
        if let Err(err) = destroy(path) {
            let error = &err as &dyn std::error::Error;
            tracing::warn!(pool = %path.display(), error, "half-made pool stays");
        }
    })
}

/// Makes a folder a pool, unless it holds something.
fn mark(path: &Path, format: &Format) -> Result<()> {
    let folder = layout::open_folder(path)?;
    // Of two that begin at once one is first.
    if !lock::exclusive(&folder).map_err(Error::io("lock", path))? {
        return Err(Error::InUse { what: "folder", name: path.display().to_string() });
    }
    let marked = refuse_content(&folder, path).and_then(|()| format.write(&folder, path));
    if marked.is_err() && format.origin() == Origin::Made {
        // Why there is no pool is what the caller has to know; an empty folder harms nobody.
        let _ = fs::remove_dir(path);
    }
    marked
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
    let Some((format, file)) = Format::find(path)? else {
        return format::remove(path, format::HALF_WRITTEN);
    };
    if !lock::exclusive(&file).map_err(Error::io("lock", path.join(format::FILE)))? {
        return Err(Error::InUse { what: "storage pool", name: path.display().to_string() });
    }
    for part in layout::PARTS {
        remove_part(&path.join(part))?;
    }
    format::remove(path, format::FILE)?;
    match format.origin() {
        Origin::Made => remove_folder(path),
        Origin::Given => Ok(()),
    }
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
