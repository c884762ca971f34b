//! Image layers: what images become in a pool, for whichever driver.
//!
//! ```text
//! layers/<fingerprint>/
//!   image.json       an image; renamed to retired.json once it is deleted while in use
//!   root/            its root file system, or
//!   image.squashfs   its root file system, packed
//! ```
//!
//! A layer with both forms is one whose conversion was interrupted after its directory was
//! complete: the directory counts.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::driver::{Fill, ImageForm, Imported};
use crate::error::{Error, Result};
use crate::folder::{self, DIRECTORY};
use crate::layout::Layout;
use crate::name::Fingerprint;
use crate::temporary::Temporary;
use crate::usage;

const IMAGE: &str = "image.json";
const RETIRED: &str = "retired.json";
const ROOT: &str = "root";
const SQUASHFS: &str = "image.squashfs";

/// What is known of a layer without walking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Bytes of content, or of the packed file.
    pub(crate) bytes: u64,
    /// Entries in it; 0 where it is packed.
    pub(crate) entries: u64,
}

/// The layers of a pool, and who needs them.
#[derive(Debug)]
pub(crate) struct Layers {
    /// How many volumes or copies need each layer; absent for none.
    users: Mutex<HashMap<Fingerprint, usize>>,
    /// Whether there are volumes of which nobody knows what they need.
    unknown_users: bool,
}

impl Layers {
    pub(crate) fn new() -> Self {
        Self { users: Mutex::default(), unknown_users: false }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<Fingerprint, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How an image lies here; `None` for none, and for a retired one.
    pub(crate) fn image(&self, layout: &Layout, image: &Fingerprint) -> Result<Option<ImageForm>> {
        let Some(folder) = open(layout, image)? else { return Ok(None) };
        let path = layout.layer_path(image.as_str());
        match folder::exists(&folder, IMAGE).map_err(Error::io("stat", path.join(IMAGE)))? {
            true => form(&folder, &path),
            false => Ok(None),
        }
    }

    /// How a layer lies here, retired or not.
    pub(crate) fn form(&self, layout: &Layout, image: &Fingerprint) -> Result<ImageForm> {
        let missing = || Error::NoImage { image: image.to_string() };
        let folder = open(layout, image)?.ok_or_else(missing)?;
        form(&folder, &layout.layer_path(image.as_str()))?.ok_or_else(missing)
    }

    /// The images, sorted.
    pub(crate) fn images(&self, layout: &Layout) -> Result<Vec<Fingerprint>> {
        let mut images = Vec::new();
        for image in self.all(layout)? {
            if self.image(layout, &image)?.is_some() {
                images.push(image);
            }
        }
        Ok(images)
    }

    /// Every layer, retired ones too.
    fn all(&self, layout: &Layout) -> Result<Vec<Fingerprint>> {
        layout.folders(&layout.layers, "layers")
    }

    /// What is known of a layer's size, for a copy's progress; `None` where it cannot be told.
    pub(crate) fn facts(&self, layout: &Layout, image: &Fingerprint) -> Option<Facts> {
        let path = layout.layer_path(image.as_str());
        [IMAGE, RETIRED].iter().find_map(|name| {
            let text = std::fs::read(path.join(name)).ok()?;
            serde_json::from_slice(&text).ok()
        })
    }

    /// Says that a volume or a copy needs an image, which must be one.
    ///
    /// What is held stays until [`release`](Self::release).
    pub(crate) fn hold(&self, layout: &Layout, image: &Fingerprint) -> Result<ImageForm> {
        let mut users = self.users();
        let form = self
            .image(layout, image)?
            .ok_or_else(|| Error::NoImage { image: image.to_string() })?;
        *users.entry(image.clone()).or_default() += 1;
        Ok(form)
    }

    /// Notes a volume that was found needing a layer.
    pub(crate) fn note(&self, image: Fingerprint) {
        *self.users().entry(image).or_default() += 1;
    }

    /// Notes a volume of which it cannot be told what it needs: retired layers stay, all of them,
    /// until an opening that finds no such volume.
    pub(crate) fn note_unknown(&mut self) {
        self.unknown_users = true;
    }

    /// Says that one volume or copy needs a layer no more; the last takes a retired layer along.
    pub(crate) fn release(&self, layout: &Layout, image: &Fingerprint) -> Result<()> {
        let mut users = self.users();
        if let Some(count) = users.get_mut(image) {
            *count -= 1;
            if *count > 0 {
                return Ok(());
            }
            users.remove(image);
        }
        if self.unknown_users || self.image(layout, image)?.is_some() {
            return Ok(());
        }
        discard(layout, image)
    }

    /// Removes an image; its layer stays while it is needed.
    pub(crate) fn delete(&self, layout: &Layout, image: &Fingerprint) -> Result<()> {
        let users = self.users();
        if self.image(layout, image)?.is_none() {
            return Err(Error::NoImage { image: image.to_string() });
        }
        if self.unknown_users || users.contains_key(image) {
            mark(layout, image, IMAGE, RETIRED)
        } else {
            discard(layout, image)
        }
    }

    /// Takes an image in as a directory.
    pub(crate) fn import(
        &self,
        layout: &Layout,
        image: &Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<Imported> {
        if self.revive(layout, image)? {
            return Ok(Imported::AlreadyThere);
        }
        let made = layout.new_layer()?;
        let facts = fill_root(&made, image, fill)?;
        describe(&made, facts)?;
        self.place(layout, made, image)
    }

    /// Takes an image in as a squashfs file, after `check` has found the file usable.
    pub(crate) fn attach(
        &self,
        layout: &Layout,
        image: &Fingerprint,
        file: &Path,
    ) -> Result<Imported> {
        if self.revive(layout, image)? {
            return Ok(Imported::AlreadyThere);
        }
        let made = layout.new_layer()?;
        let bytes = keep_file(&made, file)?;
        describe(&made, Facts { bytes, entries: 0 })?;
        self.place(layout, made, image)
    }

    /// Puts a complete layer in its place, on disk before it is seen.
    fn place(&self, layout: &Layout, made: Temporary<'_>, image: &Fingerprint) -> Result<Imported> {
        layout.sync()?;
        let users = self.users();
        let placed = made.place(image.as_str())?;
        drop(users);
        rustix::fs::fsync(&layout.layers)
            .map_err(Error::io("sync", layout.path().join("layers")))?;
        if placed {
            return Ok(Imported::New);
        }
        // Another import of the same image was faster; or one was retired meanwhile.
        self.revive(layout, image)?;
        Ok(Imported::AlreadyThere)
    }

    /// Makes a retired layer an image again. Returns whether the image is there now.
    fn revive(&self, layout: &Layout, image: &Fingerprint) -> Result<bool> {
        let _users = self.users();
        if self.image(layout, image)?.is_some() {
            return Ok(true);
        }
        match mark(layout, image, RETIRED, IMAGE) {
            Ok(()) => Ok(true),
            Err(Error::NoImage { .. }) => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Adds the directory form to a packed image and takes the file away.
    pub(crate) fn convert(
        &self,
        layout: &Layout,
        image: &Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let path = layout.layer_path(image.as_str());
        if self.hold(layout, image)? == ImageForm::Directory {
            return self.release(layout, image);
        }
        let result = self.convert_held(layout, image, &path, fill);
        self.release(layout, image)?;
        result
    }

    fn convert_held(
        &self,
        layout: &Layout,
        image: &Fingerprint,
        path: &Path,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let made = layout.new_layer()?;
        fill_root(&made, image, fill)?;
        layout.sync()?;
        let folder =
            open(layout, image)?.ok_or_else(|| Error::NoImage { image: image.to_string() })?;
        match rustix::fs::renameat_with(&made.folder, ROOT, &folder, ROOT, RenameFlags::NOREPLACE) {
            // Another conversion was faster.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(err) => return Err(Error::io("put in place", path.join(ROOT))(err)),
        }
        rustix::fs::fsync(&folder).map_err(Error::io("sync", path))?;
        drop_packed(&folder, path)
    }

    /// Takes away what interrupted work left: packed files beside directories, layers without a
    /// mark, retired layers that nobody needs. The users must all have been noted.
    pub(crate) fn sweep(&self, layout: &Layout) -> Result<()> {
        let users = self.users();
        for image in self.all(layout)? {
            let needed = self.unknown_users || users.contains_key(&image);
            if let Err(error) = sweep_one(layout, &image, needed) {
                tracing::warn!(%image, error = &error as &dyn std::error::Error, "clear up a layer");
            }
        }
        Ok(())
    }
}

fn sweep_one(layout: &Layout, image: &Fingerprint, needed: bool) -> Result<()> {
    let path = layout.layer_path(image.as_str());
    let Some(folder) = open(layout, image)? else { return Ok(()) };
    if form(&folder, &path)? == Some(ImageForm::Directory) {
        drop_packed(&folder, &path)?;
    }
    let marked = folder::exists(&folder, IMAGE).map_err(Error::io("stat", &path))?;
    if marked || needed { Ok(()) } else { discard(layout, image) }
}

/// The path of a layer's directory form.
pub(crate) fn root_path(layout: &Layout, image: &Fingerprint) -> PathBuf {
    layout.layer_path(image.as_str()).join(ROOT)
}

/// The path of a layer's packed form.
pub(crate) fn squashfs_path(layout: &Layout, image: &Fingerprint) -> PathBuf {
    layout.layer_path(image.as_str()).join(SQUASHFS)
}

/// Opens a layer's directory form.
pub(crate) fn open_root(layout: &Layout, image: &Fingerprint) -> Result<OwnedFd> {
    let path = root_path(layout, image);
    let below = Path::new(image.as_str()).join(ROOT);
    folder::open_beneath(&layout.layers, &below).map_err(Error::io("open", path))
}

fn open(layout: &Layout, image: &Fingerprint) -> Result<Option<OwnedFd>> {
    match rustix::fs::openat(&layout.layers, image.as_str(), DIRECTORY, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(err) => Err(Error::io("open", layout.layer_path(image.as_str()))(err)),
    }
}

fn form(folder: &OwnedFd, path: &Path) -> Result<Option<ImageForm>> {
    let directory = (ROOT, ImageForm::Directory);
    // A conversion may come between: the directory is there before the packed file is gone.
    for (name, form) in [directory, (SQUASHFS, ImageForm::Squashfs), directory] {
        if folder::exists(folder, name).map_err(Error::io("stat", path.join(name)))? {
            return Ok(Some(form));
        }
    }
    Ok(None)
}

fn discard(layout: &Layout, image: &Fingerprint) -> Result<()> {
    layout
        .discard(&layout.layers, image.as_str())
        .map_err(Error::io("discard", layout.layer_path(image.as_str())))
}

/// Renames a layer's mark, durably.
fn mark(layout: &Layout, image: &Fingerprint, from: &str, to: &str) -> Result<()> {
    let path = layout.layer_path(image.as_str());
    let missing = || Error::NoImage { image: image.to_string() };
    let folder = open(layout, image)?.ok_or_else(missing)?;
    match rustix::fs::renameat(&folder, from, &folder, to) {
        Ok(()) => rustix::fs::fsync(&folder).map_err(Error::io("sync", path)),
        Err(Errno::NOENT) => Err(missing()),
        Err(err) => Err(Error::io("rename", path.join(from))(err)),
    }
}

/// Lets the caller fill the root directory of a layer in the making, and measures it.
fn fill_root(made: &Temporary<'_>, image: &Fingerprint, fill: &mut Fill<'_>) -> Result<Facts> {
    let path = made.path.join(ROOT);
    drop(made.directory(ROOT)?);
    fill(&path).map_err(|source| Error::Fill { image: image.to_string(), source })?;
    let root =
        folder::open_beneath(&made.folder, Path::new(ROOT)).map_err(Error::io("open", &path))?;
    let sum = usage::measure(&root, &path)?;
    Ok(Facts { bytes: sum.content, entries: sum.usage.entries })
}

/// Writes a layer's mark; the sync comes with the whole layer's.
fn describe(made: &Temporary<'_>, facts: Facts) -> Result<()> {
    let text = serde_json::to_vec(&facts).expect("plain data serialises");
    let path = made.path.join(IMAGE);
    std::fs::write(&path, text).map_err(Error::io("write", &path))
}

/// Keeps a file in a layer in the making: by a hard link, or a copy where that cannot be.
/// Returns its size.
fn keep_file(made: &Temporary<'_>, file: &Path) -> Result<u64> {
    let source = std::fs::File::open(file).map_err(Error::io("open", file))?;
    let stat = source.metadata().map_err(Error::io("stat", file))?;
    if !stat.is_file() {
        return Err(Error::Format { path: file.to_owned(), reason: "it is no file".to_owned() });
    }
    match rustix::fs::linkat(CWD, file, &made.folder, SQUASHFS, AtFlags::empty()) {
        Ok(()) => return Ok(stat.len()),
        Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => {}
        Err(err) => return Err(Error::io("link", file)(err)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = rustix::fs::openat(&made.folder, SQUASHFS, flags, Mode::RUSR)
        .map_err(Error::io("create", made.path.join(SQUASHFS)))?;
    let mut source = source;
    std::io::copy(&mut source, &mut std::fs::File::from(target))
        .map_err(Error::io("copy", file))?;
    Ok(stat.len())
}

/// Removes a layer's packed form, if it has one. Who has it mounted keeps it.
fn drop_packed(folder: &OwnedFd, path: &Path) -> Result<()> {
    match rustix::fs::unlinkat(folder, SQUASHFS, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(err) => Err(Error::io("remove", path.join(SQUASHFS))(err)),
    }
}
