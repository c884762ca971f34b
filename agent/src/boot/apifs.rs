//! `/proc`, `/sys` and the cgroup tree that the guest sees.
//!
//! Both are writable as LXD has them for unprivileged guests: what belongs to the host's root is nobody's
//! inside and cannot be written, and covers over parts of `/proc` would keep the guest from mounting it for
//! containers of its own.

use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use sc_agent_protocol::{BootFailure, CgroupView};
use sc_sys::mount::{self, Attributes, Depth, NewMount};
use sc_sys::resolve::Root;
use sc_sys::{Result, SysError};

use crate::failure::Step;

/// Mount points in sysfs whose file systems a user namespace may not mount. A systemd that finds them
/// bare tries to, fails, and ends up degraded; over an empty mount it has nothing to do.
const COVERED: [&str; 7] = [
    "sys/kernel/debug",
    "sys/kernel/tracing",
    "sys/kernel/config",
    "sys/kernel/security",
    "sys/fs/fuse/connections",
    "sys/fs/pstore",
    "sys/fs/bpf",
];

/// Mounts them all.
pub(super) fn mount_all(
    root: &Root,
    view: CgroupView,
    covers: &mut Covers,
) -> std::result::Result<(), BootFailure> {
    mount_one(root, "proc").step("mount /proc")?;
    mount_one(root, "sys").step("mount /sys")?;
    for path in COVERED {
        covers.cover(root, path).step("cover what a guest may not mount")?;
    }
    match view {
        CgroupView::Unified => mount_unified(root),
        CgroupView::NamedSystemd => mount_named(root),
    }
    .step("mount cgroup tree")
}

fn mount_one(root: &Root, name: &str) -> Result<()> {
    let kind = if name == "sys" { "sysfs" } else { name };
    let place = root.make_dirs(name, 0o555)?;
    let tree =
        NewMount::new(kind).source(kind).attributes(Attributes::NO_SUID_DEV_EXEC).create()?;
    mount::attach_at(tree, place)
}

/// Empty read-only mounts, all of one file system: that of the first, which the others are clones of.
#[derive(Debug, Default)]
pub(super) struct Covers(Option<OwnedFd>);

impl Covers {
    /// Covers a directory, where there is one.
    pub(super) fn cover(&mut self, root: &Root, path: &str) -> Result<()> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let Ok(place) = root.open(path, flags, 0) else { return Ok(()) };
        if let Some(first) = &self.0 {
            return mount::attach_at(mount::clone_tree_at(first, Depth::This)?, place);
        }
        let tree = NewMount::new("tmpfs")
            .source("none")
            .option("mode", "0555")
            .option("size", "4k")
            .option("nr_inodes", "1")
            .attributes(Attributes { read_only: true, ..Attributes::NO_SUID_DEV_EXEC })
            .create()?;
        // Cloned is only what is attached, before kernel 6.15.
        mount::attach_at(&tree, place)?;
        self.0 = Some(tree);
        Ok(())
    }
}

fn mount_unified(root: &Root) -> Result<()> {
    let place = root.make_dirs("sys/fs/cgroup", 0o755)?;
    let tree = NewMount::new("cgroup2")
        .source("cgroup2")
        .attributes(Attributes::NO_SUID_DEV_EXEC)
        .create()?;
    mount::attach_at(tree, place)
}

/// Mounts a hierarchy without controllers, as systemd before 230 wants one.
fn mount_named(root: &Root) -> Result<()> {
    let place = root.make_dirs("sys/fs/cgroup", 0o755)?;
    let tmpfs = NewMount::new("tmpfs")
        .source("tmpfs")
        .option("mode", "0755")
        .attributes(Attributes::NO_SUID_DEV_EXEC)
        .create()?;
    rustix::fs::mkdirat(&tmpfs, c"systemd", Mode::from_raw_mode(0o755))
        .map_err(|error| SysError::new("create", "/sys/fs/cgroup/systemd", error))?;
    mount::attach_at(tmpfs, place)?;
    let place = root.make_dirs("sys/fs/cgroup/systemd", 0o755)?;
    let tree = NewMount::new("cgroup")
        .source("cgroup")
        .flag("none")
        .option("name", "systemd")
        .attributes(Attributes::NO_SUID_DEV_EXEC)
        .create()?;
    mount::attach_at(tree, place)
}
