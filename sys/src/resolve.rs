//! Paths below a root that somebody else controls.
//!
//! Every look-up is openat2(2) with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`: symbolic links and `..`
//! stay inside, absolute ones mean the root, and no link of procfs leads out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use crate::Context;
use crate::error::{Result, SysError};

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// openat2(2) gives up when things are renamed under it; a guest may do so all the time.
const ATTEMPTS: u32 = 64;

/// A directory that paths are resolved below.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Takes a directory's descriptor (`O_PATH` will do).
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens a directory; this path itself is the caller's and trusted.
    pub fn open_dir(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).op("open", path.display())?;
        Ok(Self { fd })
    }

    /// Returns the directory's descriptor.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens what a path leads to, with any flags; `mode` is for `O_CREAT`.
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<OwnedFd> {
        let path = path.as_ref();
        openat2(&self.fd, path, flags, Mode::from_raw_mode(mode)).op("open", path.display())
    }

    /// Opens a regular file for reading. Does not wait on a FIFO that lies in its place.
    ///
    /// # Errors
    ///
    /// Invalid when it is no regular file.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.open(path, flags, 0)?);
        require_regular(&file, path)?;
        Ok(file)
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Invalid when it is longer, or no regular file.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        let file = self.open_file(path)?;
        file.take(limit + 1).read_to_end(&mut bytes).op("read", path.display())?;
        if bytes.len() as u64 > limit {
            let text = format!("more than {limit} bytes");
            let kind = io::ErrorKind::InvalidData;
            return Err(SysError::message("read", path.display(), kind, text));
        }
        Ok(bytes)
    }

    /// Writes a file whole: under a new name in its directory, then renamed, so that a reader sees the old
    /// or the new one. What lies there is replaced, a symbolic link as well (not what it leads to).
    /// Missing directories are not made.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
        let path = path.as_ref();
        let (parent, name) = self.parent(path)?;
        let temporary = temporary_name();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let raw_mode = Mode::from_raw_mode(mode);
        let fd = rustix::fs::openat(&parent, &temporary, flags, raw_mode)
            .op("create", path.display())?;
        let mut file = File::from(fd);
        let outcome = file
            .write_all(bytes)
            .and_then(|()| Ok(rustix::fs::fchmod(&file, raw_mode)?))
            .and_then(|()| Ok(rustix::fs::renameat(&parent, &temporary, &parent, &name)?));
        if outcome.is_err() {
            let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
        }
        outcome.op("write", path.display())
    }

    /// Makes a directory and those above it, as far as they are missing, and returns it.
    pub fn make_dirs(&self, path: impl AsRef<Path>, mode: u32) -> Result<OwnedFd> {
        let path = path.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut so_far = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => so_far.push(name),
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => {
                    let kind = io::ErrorKind::InvalidInput;
                    return Err(SysError::message("create", path.display(), kind, "contains .."));
                }
            }
            match openat2(&self.fd, &so_far, flags, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) => self.make_dir(&so_far, mode)?,
                outcome => outcome.op("open", so_far.display()).map(drop)?,
            }
        }
        openat2(&self.fd, dot_if_empty(&so_far), flags, Mode::empty()).op("open", path.display())
    }

    fn make_dir(&self, path: &Path, mode: u32) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(mode)) {
            // Made meanwhile: the next look-up shows whether it is a directory.
            Err(rustix::io::Errno::EXIST) => Ok(()),
            outcome => outcome.op("create", path.display()),
        }
    }

    /// Returns where a symbolic link points, as it is written in it.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        let (parent, name) = self.parent(path)?;
        let target =
            rustix::fs::readlinkat(&parent, &name, Vec::new()).op("read link", path.display())?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
    }

    /// Makes a symbolic link in place of what is there (directories excepted).
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let (parent, name) = self.parent(path)?;
        match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(SysError::new("replace", path.display(), error)),
        }
        rustix::fs::symlinkat(target.as_ref(), &parent, &name).op("link", path.display())
    }

    /// Removes a file or link; one that is not there is fine.
    pub fn remove(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let (parent, name) = match self.parent(path) {
            Err(error) if error.is(libc::ENOENT) => return Ok(()),
            outcome => outcome?,
        };
        match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(SysError::new("remove", path.display(), error)),
        }
    }

    /// Whether a path leads to something; a dangling link does not.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        openat2(&self.fd, path.as_ref(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
    }

    /// Splits a path into its directory, opened, and its last name, to be used without following it.
    pub fn parent(&self, path: impl AsRef<Path>) -> Result<(OwnedFd, PathBuf)> {
        let path = path.as_ref();
        let Some(Component::Normal(name)) = path.components().next_back() else {
            let kind = io::ErrorKind::InvalidInput;
            return Err(SysError::message("use path", path.display(), kind, "has no last name"));
        };
        let dir = path.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            openat2(&self.fd, dot_if_empty(dir), flags, Mode::empty()).op("open", dir.display())?;
        Ok((fd, PathBuf::from(name)))
    }
}

fn openat2(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, rustix::io::Errno> {
    let mut attempt = 0;
    loop {
        let outcome =
            rustix::fs::openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, mode, INSIDE);
        match outcome {
            Err(rustix::io::Errno::AGAIN) if attempt < ATTEMPTS => attempt += 1,
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

fn dot_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn temporary_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    // With the time a name left over by a process of the same id is not met again.
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos());
    format!(".sc.{}.{number}.{time:x}", std::process::id())
}

fn require_regular(file: &File, path: &Path) -> Result<()> {
    if file.metadata().op("query", path.display())?.is_file() {
        return Ok(());
    }
    let kind = io::ErrorKind::InvalidInput;
    Err(SysError::message("read", path.display(), kind, "not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open_dir(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let (dir, root) = root();
        root.make_dirs("etc", 0o755).unwrap();
        root.write("etc/passwd", b"inside", 0o644).unwrap();
        symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("etc/up")).unwrap();
        for path in ["absolute", "etc/up", "/etc/passwd", "../../etc/passwd"] {
            assert_eq!(root.read(path, 100).unwrap(), b"inside", "{path}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_written_file_is_replaced_and_not_followed() {
        let (dir, root) = root();
        root.write("target", b"old", 0o600).unwrap();
        symlink("target", dir.path().join("link")).unwrap();
        root.write("link", b"new", 0o640).unwrap();
        assert_eq!(root.read("target", 10).unwrap(), b"old");
        assert_eq!(root.read("link", 10).unwrap(), b"new");
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 2, "no temporary file is left");
    }

    #[test]
    fn a_long_file_and_a_fifo_are_refused() {
        let (dir, root) = root();
        root.write("long", &[0; 11], 0o600).unwrap();
        assert_eq!(root.read("long", 10).unwrap_err().kind(), crate::ErrorKind::Invalid);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        assert_eq!(root.read("fifo", 10).unwrap_err().kind(), crate::ErrorKind::Invalid);
    }

    #[test]
    fn directories_are_made_through_links_that_stay_inside() {
        let (dir, root) = root();
        root.make_dirs("run", 0o755).unwrap();
        std::fs::create_dir(dir.path().join("var")).unwrap();
        symlink("/run", dir.path().join("var/run")).unwrap();
        root.make_dirs("/var/run/a/b", 0o755).unwrap();
        assert!(dir.path().join("run/a/b").is_dir());
        assert!(root.make_dirs("a/../b", 0o755).is_err());
    }

    #[test]
    fn links_are_read_and_replaced() {
        let (_dir, root) = root();
        root.symlink("a", "link").unwrap();
        root.symlink("b", "link").unwrap();
        assert_eq!(root.read_link("link").unwrap(), Path::new("b"));
        assert!(!root.exists("link"));
        root.remove("link").unwrap();
        root.remove("no/such/thing").unwrap();
    }
}
