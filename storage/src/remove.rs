//! Removing trees that a guest has filled: by descriptors, following nothing, entering no mount,
//! at any depth.
//!
//! A tree may be nested deeper than there are descriptors or stack. Beyond [`DEPTH`] levels a
//! directory is therefore not entered but moved up, next to the trees to be removed, and comes
//! to its turn there.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;

use crate::folder;

/// How deep a tree is entered in one go.
const DEPTH: usize = 64;

/// Removes everything in a folder, and goes on after an error.
///
/// # Errors
///
/// The first error met, once nothing more can be removed.
pub(crate) fn empty<Fd: AsFd>(folder: Fd) -> Result<(), Errno> {
    let top = folder.as_fd();
    let sweep = Sweep { top, first: None, gone: 0 };
    sweep.run()
}

struct Sweep<'a> {
    /// The folder that is emptied, and where deep directories are moved to.
    top: BorrowedFd<'a>,
    /// The first error of this round.
    first: Option<Errno>,
    /// What this round has removed or moved up.
    gone: u64,
}

impl Sweep<'_> {
    /// Goes over the folder until it is empty or a round changes nothing.
    fn run(mut self) -> Result<(), Errno> {
        loop {
            (self.first, self.gone) = (None, 0);
            let left = folder::entries(self.top)?;
            if left.is_empty() {
                return Ok(());
            }
            for entry in left {
                self.entry(self.top, &entry.name, entry.kind, 0);
            }
            if self.gone == 0 {
                return Err(self.first.unwrap_or(Errno::NOTEMPTY));
            }
        }
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, kind: FileType, depth: usize) {
        let result = match kind {
            FileType::Directory if depth >= DEPTH => self.move_up(folder, name),
            FileType::Directory => self.directory(folder, name, depth),
            _ => rustix::fs::unlinkat(folder, name, AtFlags::empty()),
        };
        match result {
            Ok(()) => self.gone += 1,
            Err(Errno::NOENT) => {}
            Err(err) => {
                self.first.get_or_insert(err);
            }
        }
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        depth: usize,
    ) -> Result<(), Errno> {
        let directory = folder::open_child(parent, name)?;
        for entry in folder::entries(&directory)? {
            self.entry(directory.as_fd(), &entry.name, entry.kind, depth + 1);
        }
        rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
    }

    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let new = format!(".deep-{}", NEXT.fetch_add(1, Ordering::Relaxed));
            match rustix::fs::renameat_with(folder, name, self.top, &new, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, mkdirat, openat};
    use std::os::unix::fs::symlink;

    fn opened(path: &std::path::Path) -> std::os::fd::OwnedFd {
        std::fs::File::open(path).unwrap().into()
    }

    #[test]
    fn a_tree_goes_and_what_its_links_point_at_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("trash"), dir.path().join("keep"));
        std::fs::create_dir_all(inside.join("a/b/c")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("file"), "kept").unwrap();
        std::fs::write(inside.join("a/b/file"), "").unwrap();
        symlink(&outside, inside.join("a/link")).unwrap();
        symlink(&outside, inside.join("top-link")).unwrap();
        empty(opened(&inside)).unwrap();
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0);
        assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "kept");
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let dir = tempfile::tempdir().unwrap();
        let top = opened(dir.path());
        let mut at = top.try_clone().unwrap();
        for _ in 0..1_000 {
            mkdirat(&at, "deeper", Mode::RWXU).unwrap();
            at = openat(&at, "deeper", folder::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(at);
        empty(&top).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
