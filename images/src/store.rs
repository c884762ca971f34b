//! The image store: files by fingerprint in one folder, laid out as LXD does.
//!
//! ```text
//! images/<fingerprint>            the unified file, or the metadata file of a split image
//! images/<fingerprint>.rootfs     the root filesystem of a split image
//! images/.incoming-XXXX           a file on its way in, removed by `sweep` after a crash
//! ```

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{Fingerprint, ImageFiles, Progress, Result};

/// A folder of image files.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the store in `dir`, making the folder (mode 0700) if it is not there.
    pub fn open(dir: &Path) -> Result<Self> {
        let _ = dir;
        unimplemented!()
    }

    /// Makes an empty file in the store's folder to write an incoming image file into (an upload, a
    /// download, a build); it is on the right filesystem to be imported by a rename, and removed
    /// when dropped.
    pub fn incoming(&self) -> Result<tempfile::NamedTempFile> {
        unimplemented!()
    }

    /// Takes image files into the store under their fingerprint: moved if they are on the store's
    /// filesystem, else copied; durable on return. Fails with [`crate::Error::Fingerprint`] if
    /// `expected` is given and is another. An image that is there already is left as it is, and the
    /// new files are removed.
    pub fn import(
        &self,
        files: &ImageFiles,
        expected: Option<&Fingerprint>,
        progress: &dyn Progress,
    ) -> Result<Fingerprint> {
        let _ = (files, expected, progress);
        unimplemented!()
    }

    /// Returns the files of an image, or `NotFound`.
    pub fn files(&self, fingerprint: &Fingerprint) -> Result<ImageFiles> {
        let _ = fingerprint;
        unimplemented!()
    }

    /// Returns how many bytes an image's files have together.
    pub fn size(&self, fingerprint: &Fingerprint) -> Result<u64> {
        let _ = fingerprint;
        unimplemented!()
    }

    /// Returns whether the store has an image.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        let _ = fingerprint;
        unimplemented!()
    }

    /// Removes an image's files; one that is not there is no error.
    pub fn delete(&self, fingerprint: &Fingerprint) -> Result<()> {
        let _ = fingerprint;
        unimplemented!()
    }

    /// Removes what a crash left: files on their way in, halves of images, and images that are not
    /// in `known`. Returns the names of what it removed.
    pub fn sweep(&self, known: &BTreeSet<Fingerprint>) -> Result<Vec<String>> {
        let _ = known;
        unimplemented!()
    }
}
