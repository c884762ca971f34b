//! The folders that entries lie in: opened without following any link, and made where an archive leaves them
//! out.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{FOLDER, Tree};
use crate::wire::{Cause, Failure, Inside};

impl Tree<'_> {
    /// Makes `folder` the current one, with the folders that lead to it where they are missing.
    pub(super) fn in_folder(&mut self, folder: &[u8]) -> Inside<()> {
        if self.last.as_ref().is_some_and(|(path, _)| path == folder) {
            // The folder may have been replaced since; then it has no links left.
            let fd = &self.last.as_ref().expect("just looked").1;
            let stat =
                rustix::fs::fstat(fd).map_err(|e| Failure::machine("look at a folder", e))?;
            if stat.st_nlink > 0 {
                return Ok(());
            }
        }
        let fd = match self.open_folder(folder) {
            Err(failure) if failure.is_missing() => {
                self.make_folders(folder)?;
                self.open_folder(folder)?
            }
            opened => opened?,
        };
        self.last = Some((folder.to_vec(), fd));
        Ok(())
    }

    /// Makes the folders up to `folder`, for archives that leave them out.
    fn make_folders(&mut self, folder: &[u8]) -> Inside<()> {
        let mut at = rustix::fs::openat(&self.root, c".", FOLDER, Mode::empty())
            .map_err(|error| Failure::machine("open the target directory", error))?;
        for name in folder.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => self.budget.take_entry()?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(no_folder(errno)),
            }
            at = rustix::fs::openat(&at, name, FOLDER, Mode::empty()).map_err(no_folder)?;
        }
        Ok(())
    }

    /// Opens a folder below the root without following any symbolic link.
    pub(super) fn open_folder(&self, folder: &[u8]) -> Inside<OwnedFd> {
        let path = if folder.is_empty() { b"." } else { folder };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        // Without NOFOLLOW, so that a link at the end is told apart from a file.
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve).map_err(no_folder)
    }
}

const MISSING_FOLDER: &str = "a folder on its path is not there";

impl Failure {
    pub(super) fn is_missing(&self) -> bool {
        self.reason == MISSING_FOLDER
    }
}

pub(super) fn no_folder(errno: Errno) -> Failure {
    match errno {
        Errno::NOENT => Failure::image(MISSING_FOLDER),
        Errno::NOTDIR => Failure::image(
            "the archive has a file (or a link) where its path needs a folder: pack the image anew",
        ),
        Errno::LOOP => Failure::image(
            "its path leads through a symbolic link of the archive: paths in an image must name real \
             folders",
        ),
        Errno::XDEV => Failure::image("its path leads out of the filesystem"),
        Errno::NAMETOOLONG => Failure::image("its path is too long for the filesystem"),
        errno => Failure::machine("open its folder", errno),
    }
}

/// A folder that is gone is no failure where folders are only finished.
pub(super) fn gone(failure: Failure) -> Inside<Option<OwnedFd>> {
    match failure.cause {
        Cause::Image => Ok(None),
        _ => Err(failure),
    }
}
