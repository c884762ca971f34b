//! Overlays over idmapped layers, in the three ways that kernels since 6.1 allow.
//!
//! | way | kernels seen | how layers reach the overlay |
//! |---|---|---|
//! | [`OverlayWay::Detached`] | 6.18 | by descriptor, never attached |
//! | [`OverlayWay::Attached`] | 6.12 | attached for a moment, `lowerdir+` |
//! | [`OverlayWay::Legacy`] | 6.1 | attached for a moment, mount(2) with one page of options |
//!
//! The two later ways need a mount namespace of the caller's own and an existing scratch directory in it.
//! They use the given trees up: a tree serves one overlay, in every way.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountFlags};

use super::fsids::FsIds;
use super::new::NewMount;
use super::tree::{Depth, attach, clone_tree, describe, is_read_only, unmount_detach};
use crate::Context;
use crate::error::{Result, SysError};

/// How an overlay's layers are handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayWay {
    /// Detached trees by descriptor.
    Detached,
    /// Trees attached in the caller's mount namespace, one `lowerdir+` each.
    Attached,
    /// Trees attached in the caller's mount namespace, options in one page of text.
    Legacy,
}

/// The writable side of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a> {
    /// A detached, idmapped tree that holds both directories: overlay wants them on one mount.
    pub tree: BorrowedFd<'a>,
    /// The upper directory, relative to the tree.
    pub upper: &'a Path,
    /// The work directory, relative to the tree.
    pub work: &'a Path,
}

/// What an overlay is made of.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Detached trees, the topmost first, idmapped by the caller.
    pub lowers: &'a [BorrowedFd<'a>],
    /// Upper and work directory; `None` makes a read-only overlay of the lowers.
    pub writable: Option<Writable<'a>>,
    /// Further options, such as `("redirect_dir", "on")`.
    pub options: &'a [(&'a str, &'a str)],
    /// Uid and gid (as the host sees them) of the guest's root, whose ids the overlay works with.
    pub owner: (u32, u32),
    /// An existing directory of the caller's own mount namespace; covered for the length of the call.
    pub scratch: &'a Path,
}

/// Makes the overlay and returns its detached mount.
///
/// # Errors
///
/// What the kernel says, with its log; `EROFS` when the mount came out read-only though it has an upper,
/// `ENOSPC` when that is because the upper's file system is full.
pub fn overlay(spec: &Overlay<'_>, way: OverlayWay) -> Result<OwnedFd> {
    let mount = match way {
        OverlayWay::Detached => detached(spec)?,
        OverlayWay::Attached => Stage::set_up(spec)?.new_api(spec)?,
        OverlayWay::Legacy => Stage::set_up(spec)?.legacy(spec)?,
    };
    if let Some(writable) = &spec.writable
        && is_read_only(&mount)?
    {
        let errno = if is_full(&writable.tree)? { libc::ENOSPC } else { libc::EROFS };
        let error = io::Error::from_raw_os_error(errno);
        return Err(SysError::new("mount writable", "overlay", error));
    }
    Ok(mount)
}

/// Whether a file system has no room for the few directories that an overlay makes in its work directory;
/// some keep the last blocks for themselves.
fn is_full(tree: &impl AsFd) -> Result<bool> {
    const FEW: u64 = 256 << 10;
    let stat = rustix::fs::fstatvfs(tree.as_fd()).op("query", describe(tree))?;
    let out_of_inodes = stat.f_files > 0 && stat.f_favail == 0;
    Ok(out_of_inodes || stat.f_bavail.saturating_mul(stat.f_frsize) < FEW)
}

/// Makes the overlay in the first way that this kernel takes, with that of the newest kernels tried
/// first: trying it costs less than asking, and uses nothing up.
///
/// # Errors
///
/// Those of [`overlay`].
pub fn overlay_any_way(spec: &Overlay<'_>) -> Result<OwnedFd> {
    match overlay(spec, OverlayWay::Detached) {
        // A kernel that does not know the way says so: 6.12 the first two, as a tree is a descriptor
        // of O_PATH, which it does not take; 6.1 the third. Anything else is about the layers.
        Err(error)
            if [Errno::BADF, Errno::INVAL, Errno::OPNOTSUPP]
                .iter()
                .any(|e| error.is(e.raw_os_error())) =>
        {
            overlay(spec, attached_way())
        }
        other => other,
    }
}

/// Which of the ways with attached trees this kernel takes.
fn attached_way() -> OverlayWay {
    let Ok(fs) = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC) else {
        return OverlayWay::Legacy;
    };
    // A kernel that knows the option looks the path up at once; an older one takes any text (and fails
    // later), or does not know the option.
    match rustix::mount::fsconfig_set_string(&fs, c"lowerdir+", c"/proc/self/fd/-1") {
        Err(Errno::NOENT) => OverlayWay::Attached,
        _ => OverlayWay::Legacy,
    }
}

fn detached(spec: &Overlay<'_>) -> Result<OwnedFd> {
    let dirs = match &spec.writable {
        Some(w) => Some((open_dir(&w.tree, w.upper)?, open_dir(&w.tree, w.work)?)),
        None => None,
    };
    let mut mount = NewMount::new("overlay").option("source", "overlay");
    for lower in spec.lowers {
        mount = mount.fd("lowerdir+", *lower);
    }
    if let Some((upper, work)) = &dirs {
        mount = mount.fd("upperdir", upper.as_fd()).fd("workdir", work.as_fd());
    }
    create(mount, spec)
}

fn create(mut mount: NewMount<'_>, spec: &Overlay<'_>) -> Result<OwnedFd> {
    for (key, value) in spec.options {
        mount = mount.option(*key, *value);
    }
    let _ids = FsIds::assume(spec.owner.0, spec.owner.1)?;
    mount.create()
}

fn open_dir(tree: &impl AsFd, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(tree.as_fd(), path, flags, Mode::empty())
        .op("open", format_args!("{} in {}", path.display(), describe(tree)))
}

/// The layers attached below a tmpfs on the scratch directory; unmounted on drop. The overlay holds
/// mounts of its own on its layers and outlives this.
struct Stage {
    root: PathBuf,
    lowers: Vec<PathBuf>,
    writable: Option<(PathBuf, PathBuf)>,
}

impl Stage {
    fn set_up(spec: &Overlay<'_>) -> Result<Self> {
        let tmpfs = NewMount::new("tmpfs").option("mode", "0755").create()?;
        attach(&tmpfs, spec.scratch)?;
        let mut stage = Self { root: spec.scratch.to_owned(), lowers: Vec::new(), writable: None };
        for (number, lower) in spec.lowers.iter().enumerate() {
            let path = stage.place(&number.to_string(), lower)?;
            stage.lowers.push(path);
        }
        if let Some(writable) = &spec.writable {
            let path = stage.place("rw", &writable.tree)?;
            stage.writable = Some((path.join(writable.upper), path.join(writable.work)));
        }
        Ok(stage)
    }

    /// Attaches a tree; it is the caller's own that moves, since old kernels clone no detached one.
    fn place(&self, name: &str, tree: &impl AsFd) -> Result<PathBuf> {
        let path = self.root.join(name);
        rustix::fs::mkdir(&path, Mode::RWXU).op("create", path.display())?;
        attach(tree, &path)?;
        Ok(path)
    }

    fn new_api(&self, spec: &Overlay<'_>) -> Result<OwnedFd> {
        let mut mount = NewMount::new("overlay").option("source", "overlay");
        for lower in &self.lowers {
            mount = mount.path("lowerdir+", lower);
        }
        if let Some((upper, work)) = &self.writable {
            mount = mount.path("upperdir", upper).path("workdir", work);
        }
        create(mount, spec)
    }

    fn legacy(&self, spec: &Overlay<'_>) -> Result<OwnedFd> {
        let options = self.legacy_options(spec)?;
        let target = self.root.join("overlay");
        rustix::fs::mkdir(&target, Mode::RWXU).op("create", target.display())?;
        {
            let _ids = FsIds::assume(spec.owner.0, spec.owner.1)?;
            let data = std::ffi::CString::new(options).map_err(io::Error::from);
            let data = data.op("write options of", "overlay")?;
            rustix::mount::mount(
                c"overlay",
                &target,
                c"overlay",
                MountFlags::empty(),
                Some(data.as_c_str()),
            )
            .op("mount", "overlay")?;
        }
        clone_tree(&target, Depth::This)
    }

    fn legacy_options(&self, spec: &Overlay<'_>) -> Result<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt;
        let mut text = b"lowerdir=".to_vec();
        for (number, lower) in self.lowers.iter().enumerate() {
            if number > 0 {
                text.push(b':');
            }
            text.extend(lower.as_os_str().as_bytes());
        }
        if let Some((upper, work)) = &self.writable {
            for (key, path) in [("upperdir", upper), ("workdir", work)] {
                text.extend(format!(",{key}=").bytes());
                text.extend(path.as_os_str().as_bytes());
            }
        }
        for (key, value) in spec.options {
            text.extend(format!(",{key}={value}").bytes());
        }
        // mount(2) copies one page and cuts the rest off in silence.
        if text.len() >= rustix::param::page_size() {
            return Err(SysError::message(
                "write options of",
                "overlay",
                io::ErrorKind::InvalidInput,
                format!("{} layers are more than one page of options holds", self.lowers.len()),
            ));
        }
        Ok(text)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Recursive by nature: a lazy unmount takes the whole tree below with it.
        let _ = unmount_detach(&self.root);
    }
}
