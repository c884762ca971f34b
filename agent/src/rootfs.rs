//! Mounts the guest's root and what is shown in it, with the host's capabilities.
//!
//! Nothing on disk is re-owned: each tree is mapped into the guest's ids at its mount.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;
use sc_agent_protocol::{BindMount, BootFailure, InstanceSpec, RootSpec, Tree};
use sc_sys::mount::{self, Attributes, Depth, Overlay, Writable};
use sc_sys::{Result, SysError};

use crate::failure::{Step, of};
use crate::host::{GUEST_ROOT, SCRATCH, Trees, bind_place};

const NO_DEV: Attributes =
    Attributes { read_only: false, no_suid: false, no_dev: true, no_exec: false, no_atime: false };

/// Mounts the root at [`GUEST_ROOT`] and the binds beside it.
pub(crate) fn mount_all(
    spec: &InstanceSpec,
    trees: &Trees,
    user: BorrowedFd<'_>,
) -> std::result::Result<(), BootFailure> {
    mount_root(spec, trees, user)?;
    for (number, (bind, tree)) in spec.binds.iter().zip(&trees.binds).enumerate() {
        mount_bind(bind, tree.as_fd(), user, &bind_place(number))
            .map_err(|error| bind_failure(bind, &error))?;
    }
    Ok(())
}

fn mount_root(
    spec: &InstanceSpec,
    trees: &Trees,
    user: BorrowedFd<'_>,
) -> std::result::Result<(), BootFailure> {
    for tree in trees.layers.iter().chain(&trees.writable) {
        mount::idmap(tree, user).step("mount root")?;
    }
    match &spec.root {
        RootSpec::Directory { .. } => {
            let tree = trees.layers.first().expect("a directory root has its one tree");
            attach_root(tree.as_fd()).step("mount root")
        }
        RootSpec::Overlay { upper, work, options, .. } => {
            let writable = trees.writable.as_ref().expect("an overlay root has its writable tree");
            let lowers: Vec<BorrowedFd<'_>> = trees.layers.iter().map(AsFd::as_fd).collect();
            let options: Vec<(&str, &str)> =
                options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let overlay = Overlay {
                lowers: &lowers,
                writable: Some(Writable {
                    tree: writable.as_fd(),
                    upper: Path::new(upper),
                    work: Path::new(work),
                }),
                options: &options,
                owner: (spec.ids.base, spec.ids.base),
                scratch: Path::new(SCRATCH),
            };
            let mounted = mount::overlay_any_way(&overlay).step("mount overlay")?;
            attach_root(mounted.as_fd()).step("mount overlay")
        }
    }
}

fn attach_root(tree: BorrowedFd<'_>) -> Result<()> {
    mount::change_attributes(tree, NO_DEV, Attributes::default(), None, Depth::This)?;
    mount::attach(tree, GUEST_ROOT)
}

/// A failure to show a device, told of its source: the tree itself is detached and has no path.
fn bind_failure(bind: &BindMount, error: &SysError) -> BootFailure {
    let mut failure = of(&format!("mount device {}", bind.device), error);
    if let Tree::Path(source) = &bind.source {
        failure.object = source.display().to_string();
    }
    if error.op() == "idmap mount" && error.is(Errno::INVAL.raw_os_error()) {
        failure.remedy = Some(
            "this kernel cannot map ids on the file system that the source is on; give a source on \
             ext4, xfs, btrfs or tmpfs"
                .into(),
        );
    }
    failure
}

fn mount_bind(
    bind: &BindMount,
    tree: BorrowedFd<'_>,
    user: BorrowedFd<'_>,
    place: &Path,
) -> Result<()> {
    if bind.idmapped {
        mount::idmap(tree, user)?;
    }
    let depth = if bind.recursive { Depth::Recursive } else { Depth::This };
    let wanted = Attributes { read_only: bind.readonly, ..NO_DEV };
    mount::change_attributes(tree, wanted, Attributes::default(), None, depth)?;
    mount::attach(tree, place)
}
