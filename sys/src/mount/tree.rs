//! Cloning, idmapping, attributes, attaching: what one does with a mount that exists.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::Context;
use crate::error::{Result, check};

/// How far an operation on a mount reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// This mount alone.
    This,
    /// This mount and all mounts below it.
    Recursive,
}

/// Mount propagation, as mount_namespaces(7) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Events neither come nor go.
    Private,
    /// Events come and do not go.
    Slave,
    /// Events come and go.
    Shared,
}

/// Per-mount attributes; what is `true` is set, what is `false` is left as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// No writes through this mount.
    pub read_only: bool,
    /// Setuid and setgid bits and file capabilities have no effect.
    pub no_suid: bool,
    /// Device nodes cannot be opened.
    pub no_dev: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
    /// Access times are not kept.
    pub no_atime: bool,
}

impl Attributes {
    /// What `/proc`, `/sys` and the like are mounted with.
    pub const NO_SUID_DEV_EXEC: Self =
        Self { no_suid: true, no_dev: true, no_exec: true, read_only: false, no_atime: false };

    pub(super) fn bits(self) -> u64 {
        let pick = |on: bool, bit: u64| if on { bit } else { 0 };
        pick(self.read_only, libc::MOUNT_ATTR_RDONLY)
            | pick(self.no_suid, libc::MOUNT_ATTR_NOSUID)
            | pick(self.no_dev, libc::MOUNT_ATTR_NODEV)
            | pick(self.no_exec, libc::MOUNT_ATTR_NOEXEC)
            | pick(self.no_atime, libc::MOUNT_ATTR_NOATIME)
    }
}

/// Clones the mount at `path` as a detached tree (open_tree(2)); `path` becomes its root.
pub fn clone_tree(path: impl AsRef<Path>, depth: Depth) -> Result<OwnedFd> {
    let path = path.as_ref();
    rustix::mount::open_tree(CWD, path, clone_flags(depth)).op("clone mount at", path.display())
}

/// Clones the mount that `dir` lies on as a detached tree; `dir` becomes its root.
pub fn clone_tree_at(dir: impl AsFd, depth: Depth) -> Result<OwnedFd> {
    let flags = clone_flags(depth) | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(dir.as_fd(), c"", flags).op("clone mount", describe(&dir))
}

fn clone_flags(depth: Depth) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match depth {
        Depth::This => flags,
        Depth::Recursive => flags | OpenTreeFlags::AT_RECURSIVE,
    }
}

/// Maps the ids of a detached tree through a user namespace (mount_setattr(2)): on-disk id 0 appears as
/// the id that the namespace's 0 has on the host.
///
/// # Errors
///
/// `EINVAL` when the file system cannot be idmapped, `EPERM` when the tree is attached or idmapped
/// already.
pub fn idmap(tree: impl AsFd, userns: impl AsFd) -> Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        // A descriptor is never negative here, so that the cast keeps it.
        userns_fd: userns.as_fd().as_raw_fd() as u64,
    };
    mount_setattr(&tree, &attr, Depth::This).op("idmap mount", describe(&tree))
}

/// Sets and clears attributes of a mount, and its propagation where one is given.
pub fn change_attributes(
    tree: impl AsFd,
    set: Attributes,
    clear: Attributes,
    propagation: Option<Propagation>,
    depth: Depth,
) -> Result<()> {
    let mut attr_clr = clear.bits();
    if set.no_atime || clear.no_atime {
        // The access-time modes are a field and not flags: the whole field has to be cleared.
        attr_clr |= libc::MOUNT_ATTR__ATIME;
    }
    let attr = libc::mount_attr {
        attr_set: set.bits(),
        attr_clr,
        propagation: match propagation {
            None => 0,
            Some(Propagation::Private) => libc::MS_PRIVATE,
            Some(Propagation::Slave) => libc::MS_SLAVE,
            Some(Propagation::Shared) => libc::MS_SHARED,
        },
        userns_fd: 0,
    };
    mount_setattr(&tree, &attr, depth).op("change attributes of mount", describe(&tree))
}

fn mount_setattr(tree: &impl AsFd, attr: &libc::mount_attr, depth: Depth) -> std::io::Result<()> {
    let recursive = if depth == Depth::Recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a static C string, the attributes are a live structure of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Changes the propagation of the mount at a path, with mount(2).
pub fn make_propagation(
    path: impl AsRef<Path>,
    propagation: Propagation,
    depth: Depth,
) -> Result<()> {
    let path = path.as_ref();
    let mut flags = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
    };
    if depth == Depth::Recursive {
        flags |= MountPropagationFlags::REC;
    }
    rustix::mount::mount_change(path, flags).op("change propagation of", path.display())
}

/// Attaches a detached tree at a path (move_mount(2)).
pub fn attach(tree: impl AsFd, target: impl AsRef<Path>) -> Result<()> {
    let target = target.as_ref();
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(tree.as_fd(), c"", CWD, target, flags)
        .op("attach mount at", target.display())
}

/// Attaches a detached tree on the file or directory that a descriptor stands for.
pub fn attach_at(tree: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree.as_fd(), c"", target.as_fd(), c"", flags)
        .op("attach mount at", describe(&target))
}

/// Binds `source` on `target` with mount(2).
pub fn bind(source: impl AsRef<Path>, target: impl AsRef<Path>, depth: Depth) -> Result<()> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let mut flags = MountFlags::BIND;
    if depth == Depth::Recursive {
        flags |= MountFlags::REC;
    }
    rustix::mount::mount(source, target, c"", flags, None)
        .op("bind mount", format_args!("{} on {}", source.display(), target.display()))
}

/// Unmounts lazily: at once out of sight, gone when the last user is.
pub fn unmount_detach(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .op("unmount", path.display())
}

/// Makes an attached mount the root of the caller's mount namespace and drops the old root.
///
/// # Errors
///
/// Those of pivot_root(2); the working directory may have changed already.
pub fn pivot_into(new_root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(new_root.as_fd()).op("enter", "the new root")?;
    // With the same directory twice the old root is stacked on the new one, and needs no directory.
    rustix::process::pivot_root(c".", c".").op("pivot into", "the new root")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).op("unmount", "the old root")?;
    rustix::process::chdir(c"/").op("enter", "/")
}

/// Whether the mount that a descriptor lies on refuses writes.
pub fn is_read_only(fd: impl AsFd) -> Result<bool> {
    let stat = rustix::fs::fstatvfs(fd.as_fd()).op("query mount", describe(&fd))?;
    Ok(stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// What to call a descriptor in an error: where it leads, or its number.
pub(crate) fn describe(fd: &impl AsFd) -> String {
    let number = fd.as_fd().as_raw_fd();
    match std::fs::read_link(format!("/proc/self/fd/{number}")) {
        Ok(path) => path.display().to_string(),
        Err(_) => format!("descriptor {number}"),
    }
}
