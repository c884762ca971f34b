//! Folders in the making.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, RenameFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::folder;
use crate::layout::Layout;

/// A folder that is being made; goes to the trash unless it is put in place.
pub(crate) struct Temporary<'a> {
    layout: &'a Layout,
    parent: &'a OwnedFd,
    name: String,
    pub(crate) path: PathBuf,
    pub(crate) folder: OwnedFd,
    placed: bool,
}

impl<'a> Temporary<'a> {
    /// Makes the folder under a name that nothing has.
    pub(crate) fn new(
        layout: &'a Layout,
        parent: &'a OwnedFd,
        name: String,
        path: PathBuf,
    ) -> Result<Self> {
        rustix::fs::mkdirat(parent, &name, Mode::RWXU)
            .map_err(Error::io("make directory", &path))?;
        let opened = rustix::fs::openat(parent, &name, folder::DIRECTORY, Mode::empty());
        let folder = opened.map_err(|error| {
            // It is empty, and nobody's who would discard it.
            let _ = rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR);
            Error::io("open", &path)(error)
        })?;
        Ok(Self { layout, parent, name, path, folder, placed: false })
    }

    /// Puts the folder in its place. `Ok(false)`: somebody was faster, and this one is discarded.
    pub(crate) fn place(mut self, name: &str) -> Result<bool> {
        match rustix::fs::renameat_with(
            self.parent,
            &self.name,
            self.parent,
            name,
            RenameFlags::NOREPLACE,
        ) {
            Ok(()) => {
                self.placed = true;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(err) => Err(Error::io("put in place", self.path.clone())(err)),
        }
    }

    /// Makes an empty directory in the folder, mode 0755 whatever the umask, and opens it.
    pub(crate) fn directory(&self, name: &str) -> Result<OwnedFd> {
        let path = self.path.join(name);
        rustix::fs::mkdirat(&self.folder, name, Mode::RWXU)
            .map_err(Error::io("make directory", &path))?;
        let directory = folder::open_beneath(&self.folder, Path::new(name))
            .map_err(Error::io("open", &path))?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755))
            .map_err(Error::io("set mode of", &path))?;
        Ok(directory)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        // The next opening sweeps what cannot be moved now.
        if let Err(err) = self.layout.discard(self.parent, &self.name) {
            let error = &err as &dyn std::error::Error;
            tracing::warn!(path = %self.path.display(), error, "half-made folder stays");
        }
    }
}
