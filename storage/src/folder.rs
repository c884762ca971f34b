//! Opening and reading directories by descriptor, so that no symbolic link is ever followed and
//! no path leads out of the tree it began in.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Flags for opening a directory to read it.
pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a path below a tree is resolved: it stays below, follows no link, enters no mount.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// The longest path given to the kernel in one call; longer ones are walked in pieces.
const PIECE: usize = 3_000;

/// An entry of a directory.
pub(crate) struct Entry {
    pub(crate) name: CString,
    pub(crate) kind: FileType,
}

/// Opens a directory in another.
pub(crate) fn open_child<Fd: AsFd>(folder: Fd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(folder, name, DIRECTORY, Mode::empty(), BENEATH)
}

/// Opens a directory below another, however long the path; the empty path is the folder itself.
pub(crate) fn open_beneath<Fd: AsFd>(folder: Fd, path: &Path) -> Result<OwnedFd, Errno> {
    let open = |at: &OwnedFd, piece: &Path| {
        rustix::fs::openat2(at, piece, DIRECTORY, Mode::empty(), BENEATH)
    };
    let mut at = rustix::fs::openat(folder, ".", DIRECTORY, Mode::empty())?;
    let mut piece = PathBuf::new();
    for part in path.components() {
        let Component::Normal(part) = part else { return Err(Errno::INVAL) };
        if piece.as_os_str().len() + part.len() > PIECE {
            at = open(&at, &piece)?;
            piece = PathBuf::new();
        }
        piece.push(part);
    }
    if !piece.as_os_str().is_empty() {
        at = open(&at, &piece)?;
    }
    Ok(at)
}

/// Reads a whole directory, `.` and `..` left out, with each entry's type made sure of.
pub(crate) fn entries<Fd: AsFd>(folder: Fd) -> Result<Vec<Entry>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match lstat(&folder, name) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue,
                Err(err) => return Err(err),
            },
            kind => kind,
        };
        found.push(Entry { name: name.to_owned(), kind });
    }
    Ok(found)
}

/// Stats an entry without following it.
pub(crate) fn lstat<Fd: AsFd>(folder: Fd, name: &CStr) -> Result<Stat, Errno> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Whether an entry is there.
pub(crate) fn exists<Fd: AsFd>(folder: Fd, name: &str) -> Result<bool, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(err) => Err(err),
    }
}

/// An entry's path below a tree, for messages and for coming back to it.
pub(crate) fn join(folder: &Path, name: &CStr) -> PathBuf {
    folder.join(OsStr::from_bytes(name.to_bytes()))
}
