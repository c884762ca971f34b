//! The root that the work sees: the host's programs, its target, its inputs, and nothing else.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::Context;
use crate::error::{Result, SysError};
use crate::mount::{
    self, Attributes, Depth, NewMount, Propagation, attach, attach_at, change_attributes,
    clone_tree,
};

/// What programs of the host's `/usr` need beside it.
const HOST_FOLDERS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// How the host's programs are shown.
const PROGRAMS: Attributes =
    Attributes { read_only: true, no_exec: false, ..Attributes::NO_SUID_DEV_EXEC };

/// Makes a root of its own and leaves the host's.
pub(super) fn change(mounts: Vec<(usize, OwnedFd)>, target: Option<OwnedFd>) -> Result<()> {
    mount::make_propagation("/", Propagation::Private, Depth::Recursive)?;
    // Before something is mounted on what some of them may lead through.
    let folders = HOST_FOLDERS.iter().map(|name| HostFolder::look(name));
    let folders: Vec<_> = folders.collect::<Result<_>>()?;
    let usr = HostFolder::Tree("usr", clone_tree("/usr", Depth::Recursive)?);
    let root = NewMount::new("tmpfs")
        .option("mode", "755")
        .option("size", "1m")
        .option("nr_inodes", "1k")
        .create()?;
    // Some directory has to carry it until the pivot; this one every host has.
    attach(&root, "/proc")?;
    for folder in folders.into_iter().chain([usr]) {
        folder.place(&root)?;
    }
    if let Some(target) = target {
        attach_at(&target, make_folder(&root, Path::new("target"))?)?;
    }
    make_folder(&root, Path::new("in"))?;
    for (index, tree) in mounts {
        let path = format!("in/{index}");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&root, &path, flags, Mode::RUSR).op("create", &path)?;
        attach_at(&tree, file)?;
    }
    mount::pivot_into(&root)?;
    let read_only = Attributes { read_only: true, ..Attributes::NO_SUID_DEV_EXEC };
    change_attributes(&root, read_only, Attributes::default(), None, Depth::This)
}

fn make_folder(root: &OwnedFd, path: &Path) -> Result<OwnedFd> {
    rustix::fs::mkdirat(root, path, Mode::from_raw_mode(0o755)).op("create", path.display())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(root, path, flags, Mode::empty()).op("open", path.display())
}

/// One of the folders at the top of the host that programs are found through.
enum HostFolder {
    Absent,
    /// The usual case today: a link into `/usr`.
    Link(&'static str, PathBuf),
    Tree(&'static str, OwnedFd),
}

impl HostFolder {
    fn look(name: &'static str) -> Result<Self> {
        let path = Path::new("/").join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Absent),
            Err(error) => Err(SysError::new("look at", path.display(), error)),
            Ok(metadata) if metadata.is_symlink() => {
                Ok(Self::Link(name, fs::read_link(&path).op("read link", path.display())?))
            }
            Ok(_) => Ok(Self::Tree(name, clone_tree(&path, Depth::Recursive)?)),
        }
    }

    /// Shows it in a new root.
    fn place(&self, root: &OwnedFd) -> Result<()> {
        match self {
            Self::Absent => Ok(()),
            Self::Link(name, to) => rustix::fs::symlinkat(to, root, *name).op("create link", name),
            Self::Tree(name, tree) => {
                change_attributes(tree, PROGRAMS, Attributes::default(), None, Depth::Recursive)?;
                attach_at(tree, make_folder(root, Path::new(name))?)
            }
        }
    }
}
