//! The `packages` remote: images built on this machine from a distribution's signed packages.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{ImageFiles, Progress, Result};

/// The remote: what can be built, from the machine's own apt mirror.
#[derive(Debug, Clone)]
pub struct Remote {
    apt_dir: PathBuf,
    keyring: PathBuf,
}

/// One image that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The release's code name, such as "bookworm".
    pub codename: String,
    /// The release's number, such as "12".
    pub version: String,
    /// "default" (systemd) or "sysvinit".
    pub variant: String,
    /// Names it is found under: "12", "bookworm", "12/default", …
    pub aliases: Vec<String>,
    /// One line for a list.
    pub description: String,
}

/// An image that was built. The files are in the work directory given to [`Remote::build`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Metadata tarball and squashfs.
    pub files: ImageFiles,
    /// The properties in its metadata.
    pub properties: BTreeMap<String, String>,
    /// The names that it is found under.
    pub aliases: Vec<String>,
    /// Whether every byte of it came from signed packages, so that it may be launched from its
    /// mount: true.
    pub verified: bool,
}

impl Remote {
    /// The remote of this machine: sources in `/etc/apt`, Debian's archive keyring.
    pub fn debian() -> Self {
        unimplemented!()
    }

    /// All that can be built.
    pub fn list(&self) -> Vec<Recipe> {
        unimplemented!()
    }

    /// Finds what `alias` ("12", "bookworm", "12/sysvinit", "debian/12") means, or `NotFound` with
    /// the names there are.
    pub fn find(&self, alias: &str) -> Result<Recipe> {
        let _ = (alias, &self.apt_dir, &self.keyring);
        unimplemented!()
    }

    /// Builds an image into `workdir`, an empty directory of the caller's on a filesystem that takes
    /// device nodes and ownership (about 500 MB free). What is scratch is removed again, in any
    /// case; on failure or cancellation so are the files, and no process is left.
    pub fn build(
        &self,
        recipe: &Recipe,
        workdir: &Path,
        progress: &dyn Progress,
    ) -> Result<BuiltImage> {
        let _ = (recipe, workdir, progress);
        unimplemented!()
    }
}
