//! The image store: files by fingerprint in one folder, laid out as LXD does.
//!
//! ```text
//! images/<fingerprint>            the unified file, or the metadata file of a split image
//! images/<fingerprint>.rootfs     the root filesystem of a split image
//! images/.incoming-XXXX           a file on its way in, removed by `sweep` after a crash
//! ```
//!
//! The metadata file is put in place last and removed first, so an image is there exactly when its
//! first file is; a lone `.rootfs` is half of one and goes with the next sweep.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind as Io, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use crate::{Error, Fingerprint, ImageFiles, Progress, Result};

const INCOMING: &str = ".incoming-";
const ROOTFS: &str = ".rootfs";

/// A folder of image files.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the store in `dir`, making the folder (mode 0700) if it is not there.
    pub fn open(dir: &Path) -> Result<Self> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == Io::AlreadyExists => {}
            made => made.map_err(Error::io("make image folder", dir))?,
        }
        // Images hold setuid programs of their guests: nobody else may come near them.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(Error::io("close image folder", dir))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Makes an empty file in the store's folder to write an incoming image file into (an upload, a
    /// download, a build); it is on the right filesystem to be imported by a rename, and removed
    /// when dropped.
    pub fn incoming(&self) -> Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(INCOMING)
            .tempfile_in(&self.dir)
            .map_err(Error::io("make a file in image folder", &self.dir))
    }

    /// Takes image files into the store under their fingerprint, as [`Fingerprint::of_files`] has it: moved if
    /// they are on the store's filesystem, else copied; durable on return. An image that is there already is
    /// left as it is, and the new files are removed.
    ///
    /// One call at a time for an image, and none while it is deleted.
    pub fn import(
        &self,
        files: &ImageFiles,
        fingerprint: &Fingerprint,
        progress: &dyn Progress,
    ) -> Result<()> {
        if self.contains(fingerprint) {
            for path in files.paths() {
                fs::remove_file(path).map_err(Error::io("remove file", path))?;
            }
            return Ok(());
        }
        progress.step("storing image");
        // The metadata file last: with it the image is there.
        if let Some(rootfs) = &files.rootfs {
            self.place(rootfs, &self.rootfs_path(fingerprint), progress)?;
        }
        self.place(&files.metadata, &self.path(fingerprint), progress)
    }

    /// Returns the files of an image, or `NotFound`.
    pub fn files(&self, fingerprint: &Fingerprint) -> Result<ImageFiles> {
        if !self.contains(fingerprint) {
            return Err(Error::NotFound(format!("image {fingerprint} is not in the store")));
        }
        let rootfs = Some(self.rootfs_path(fingerprint)).filter(|path| path.exists());
        Ok(ImageFiles { metadata: self.path(fingerprint), rootfs })
    }

    /// Returns how many bytes an image's files have together.
    pub fn size(&self, fingerprint: &Fingerprint) -> Result<u64> {
        let files = self.files(fingerprint)?;
        std::iter::once(&files.metadata).chain(&files.rootfs).try_fold(0, |sum, path| {
            let metadata = fs::metadata(path).map_err(Error::io("look at image file", path))?;
            Ok(sum + metadata.len())
        })
    }

    /// Returns whether the store has an image.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.path(fingerprint).exists()
    }

    /// Removes an image's files; one that is not there is no error.
    pub fn delete(&self, fingerprint: &Fingerprint) -> Result<()> {
        for path in [self.path(fingerprint), self.rootfs_path(fingerprint)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == Io::NotFound => {}
                removed => removed.map_err(Error::io("remove image file", &path))?,
            }
        }
        self.sync()
    }

    /// Removes what a crash left: files on their way in, halves of images, and images that are not
    /// in `known`. Returns the names of what it removed.
    ///
    /// Call it while no import is under way.
    pub fn sweep(&self, known: &BTreeSet<Fingerprint>) -> Result<Vec<String>> {
        let failed = || Error::io("read image folder", &self.dir);
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.is_leftover(&name, known) {
                continue;
            }
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let gone = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(Error::io("remove left-over image file", &path))?;
            removed.push(name);
        }
        removed.sort();
        self.sync()?;
        Ok(removed)
    }

    fn is_leftover(&self, name: &str, known: &BTreeSet<Fingerprint>) -> bool {
        if name.starts_with(INCOMING) {
            return true;
        }
        // What is not named like ours is not ours to remove.
        match name.strip_suffix(ROOTFS).unwrap_or(name).parse::<Fingerprint>() {
            Ok(fingerprint) => !known.contains(&fingerprint) || !self.contains(&fingerprint),
            Err(_) => false,
        }
    }

    fn path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.dir.join(fingerprint.as_str())
    }

    fn rootfs_path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.dir.join(format!("{fingerprint}{ROOTFS}"))
    }

    /// Moves or copies a file to its place, content first, then the name, both durable.
    fn place(&self, from: &Path, to: &Path, progress: &dyn Progress) -> Result<()> {
        let file = File::open(from).map_err(Error::io("open image file", from))?;
        file.sync_all().map_err(Error::io("write to disk", from))?;
        match fs::rename(from, to) {
            Ok(()) => {}
            Err(error) if error.kind() == Io::CrossesDevices => {
                let copy = self.copy(file, from, progress)?;
                copy.persist(to)
                    .map_err(|error| Error::io("put image file at", to)(error.error))?;
                fs::remove_file(from).map_err(Error::io("remove file", from))?;
            }
            Err(error) => return Err(Error::io("put image file at", to)(error)),
        }
        fs::set_permissions(to, fs::Permissions::from_mode(0o600))
            .map_err(Error::io("set mode of image file", to))?;
        self.sync()
    }

    fn copy(&self, mut from: File, path: &Path, progress: &dyn Progress) -> Result<TempPath> {
        let failed = || Error::io("copy image file", path);
        let total = from.metadata().map_err(failed())?.len();
        let mut to = self.incoming()?;
        let mut buffer = vec![0; 1 << 20];
        let mut done = 0;
        loop {
            let n = from.read(&mut buffer).map_err(failed())?;
            if n == 0 {
                break;
            }
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            to.write_all(&buffer[..n]).map_err(failed())?;
            done += n as u64;
            progress.bytes(done, Some(total));
        }
        to.as_file().sync_all().map_err(failed())?;
        Ok(to.into_temp_path())
    }

    fn sync(&self) -> Result<()> {
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .or_else(|error: io::Error| match error.kind() {
                // Some filesystems cannot sync a folder and need not.
                Io::InvalidInput | Io::Unsupported => Ok(()),
                _ => Err(error),
            })
            .map_err(Error::io("write to disk image folder", &self.dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("images")).unwrap();
        (dir, store)
    }

    fn file(dir: &Path, name: &str, content: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn import(store: &Store, files: &ImageFiles) -> Fingerprint {
        let fingerprint = Fingerprint::of_files(&files.paths(), &Silent).unwrap();
        store.import(files, &fingerprint, &Silent).unwrap();
        fingerprint
    }

    #[test]
    fn a_split_image_comes_in_and_goes_out_again() {
        let (dir, store) = store();
        let files = ImageFiles {
            metadata: file(dir.path(), "m", "meta"),
            rootfs: Some(file(dir.path(), "r", "rootfs")),
        };
        let fingerprint = import(&store, &files);
        // sha256sum of "metarootfs"
        let whole = file(dir.path(), "w", "metarootfs");
        assert_eq!(Fingerprint::of_files(&[&whole], &Silent).unwrap(), fingerprint);
        assert!(!files.metadata.exists());
        let stored = store.files(&fingerprint).unwrap();
        assert_eq!(fs::read_to_string(&stored.metadata).unwrap(), "meta");
        assert_eq!(fs::read_to_string(stored.rootfs.unwrap()).unwrap(), "rootfs");
        assert_eq!(store.size(&fingerprint).unwrap(), 10);
        let mode = fs::metadata(&stored.metadata).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        store.delete(&fingerprint).unwrap();
        store.delete(&fingerprint).unwrap();
        assert_eq!(store.files(&fingerprint).unwrap_err().kind(), crate::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(&store.dir).unwrap().count(), 0);
    }

    #[test]
    fn the_same_image_twice_is_one_image() {
        let (dir, store) = store();
        let mut prints = Vec::new();
        for name in ["a", "b"] {
            let files = ImageFiles { metadata: file(dir.path(), name, "unified"), rootfs: None };
            prints.push(import(&store, &files));
            assert!(!files.metadata.exists());
        }
        assert_eq!(prints[0], prints[1]);
    }

    #[test]
    fn a_sweep_takes_leftovers_and_nothing_else() {
        let (dir, store) = store();
        let files = ImageFiles { metadata: file(dir.path(), "a", "known"), rootfs: None };
        let known = import(&store, &files);
        let unknown = "1".repeat(64);
        fs::write(store.dir.join(&unknown), "").unwrap();
        let half = format!("{}.rootfs", "2".repeat(64));
        fs::write(store.dir.join(&half), "").unwrap();
        fs::write(store.dir.join("README"), "").unwrap();
        let (_, incoming) = store.incoming().unwrap().keep().unwrap();
        let name = incoming.file_name().unwrap().to_string_lossy().into_owned();
        let removed = store.sweep(&BTreeSet::from([known.clone()])).unwrap();
        assert_eq!(removed, [name, unknown, half]);
        assert!(store.contains(&known));
        assert!(store.dir.join("README").exists());
    }

    #[test]
    fn an_ordinary_user_cannot_enter_the_folder() {
        let (_dir, store) = store();
        let mode = fs::metadata(&store.dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
}
