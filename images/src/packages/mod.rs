//! The `packages` remote: images built on this machine from a distribution's signed packages.
//!
//! The machine's own apt sources say where the packages come from (`sources`), its apt settings how
//! that is reached (`apt_conf`); mmdebstrap installs them and checks their signatures
//! (`bootstrap`); what would tie the result to the building machine is taken out (`finish`), and
//! the rest packed as a split image (`pack`). All programs run in a mount and a process namespace
//! that end with them (`tool`).

mod apt_conf;
mod bootstrap;
mod finish;
mod pack;
mod sources;
mod tool;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use sc_api::Recipe;

use self::{apt_conf::Settings, sources::Mirror};
use crate::{Error, ImageFiles, Progress, Result};

/// The remote: what can be built, from the machine's own apt mirror.
#[derive(Debug, Clone)]
pub struct Remote {
    apt_dir: PathBuf,
    keyring: PathBuf,
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
        Self {
            apt_dir: PathBuf::from("/etc/apt"),
            keyring: PathBuf::from("/usr/share/keyrings/debian-archive-keyring.gpg"),
        }
    }

    /// Finds what `alias` ("12", "bookworm", "12/sysvinit", "debian/12") means, or `NotFound` with
    /// the names there are.
    pub fn find(&self, alias: &str) -> Result<Recipe> {
        Recipe::find(alias).ok_or_else(|| {
            let names: Vec<_> = Recipe::all().into_iter().flat_map(|one| one.aliases).collect();
            let (alias, names) = (sc_api::quoted(alias), names.join(", "));
            Error::NotFound(format!("no image {alias} can be built from packages: use {names}"))
        })
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
        tool::require("mmdebstrap", "mmdebstrap")?;
        tool::require("mksquashfs", "squashfs-tools")?;
        if !self.keyring.is_file() {
            return Err(Error::MissingProgram {
                program: "Debian's archive keyring",
                package: "debian-archive-keyring",
            });
        }
        let mirror = Mirror::of_machine(&self.apt_dir)?;
        if mirror.security.is_none() {
            tracing::warn!("no security archive in this machine's apt sources: none in the image");
        }
        let files = ImageFiles {
            metadata: workdir.join("metadata.tar.xz"),
            rootfs: Some(workdir.join("rootfs.squashfs")),
        };
        let built = self.build_files(recipe, &mirror, workdir, &files, progress);
        if built.is_err() {
            for path in files.rootfs.iter().chain([&files.metadata]) {
                // A part of a file, or none yet; the first failure is the one to tell.
                let _ = fs::remove_file(path);
            }
        }
        Ok(BuiltImage {
            properties: built?,
            files,
            aliases: recipe.aliases.clone(),
            verified: true,
        })
    }

    fn build_files(
        &self,
        recipe: &Recipe,
        mirror: &Mirror,
        workdir: &Path,
        files: &ImageFiles,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, String>> {
        let scratch = Scratch::create(workdir.join("scratch"))?;
        let settings = Settings::of_machine()?;
        let sources = mirror.sources(&recipe.codename, &self.keyring);
        bootstrap::bootstrap(recipe, &sources, &settings, &scratch.0, progress)?;
        let rootfs = scratch.0.join("rootfs");
        finish::finish(&rootfs, &sources, &settings.for_guests())?;
        if let Some(target) = &files.rootfs {
            pack::squash(&rootfs, target, progress)?;
        }
        let metadata = pack::metadata(recipe);
        pack::write_metadata(&metadata, &recipe.variant, &files.metadata)?;
        Ok(metadata.properties)
    }
}

/// A folder that is removed whatever happens.
struct Scratch(PathBuf);

impl Scratch {
    /// How often, and how far apart, its removal is tried: processes that were just killed may be
    /// inside their last system call.
    const TRIES: u32 = 40;
    const PAUSE: Duration = Duration::from_millis(50);

    fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).map_err(Error::io("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for attempt in 1..=Self::TRIES {
            match fs::remove_dir_all(&self.0) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) if attempt < Self::TRIES => std::thread::sleep(Self::PAUSE),
                Err(error) => {
                    tracing::warn!(path = %self.0.display(), %error, "scratch is left behind");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = Remote::debian().find("11").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains("\"11\"") && text.contains("12, bookworm, 12/default"), "{text}");
    }

    #[test]
    fn scratch_is_removed_whatever_happens() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path().join("scratch")).unwrap();
        fs::create_dir_all(scratch.0.join("rootfs/etc")).unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
