//! The device nodes that guests get: made by the agent in its own root, since a guest cannot make any.
//!
//! The host's own nodes serve only where none can be made: their owners and modes are the host's affair, and
//! `/dev/fuse` is often root's alone. These are open to everyone, as udev makes them, and belong to the
//! host's root, so that no guest changes them.

use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use sc_sys::mount::{self, Depth};
use sc_sys::resolve::Root;
use sc_sys::{Result, SysError};

use crate::place::make_place;

/// A device's name in `/dev` with its major and minor number.
type Device = (&'static str, u32, u32);

/// What every guest gets.
const ALWAYS: [Device; 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// What it gets where the host has it.
const WHERE_PRESENT: [Device; 2] = [("fuse", 10, 229), ("net/tun", 10, 200)];
const MODE: Mode = Mode::from_raw_mode(0o666);

/// Makes them below a root's `/dev`, as far as the host has them in its own.
pub(crate) fn make_all(root: &Root) -> Result<()> {
    for device in ALWAYS {
        make(root, device)?;
    }
    for device in WHERE_PRESENT {
        if Path::new("/dev").join(device.0).exists() {
            make(root, device)?;
        }
    }
    Ok(())
}

/// Returns their names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALWAYS.iter().chain(&WHERE_PRESENT).map(|(name, ..)| *name)
}

fn make(root: &Root, (name, major, minor): Device) -> Result<()> {
    let path = Path::new("/dev").join(name);
    let folder = root.make_dirs(path.parent().unwrap_or(&path), 0o755)?;
    let last = path.file_name().unwrap_or_default();
    let device = rustix::fs::makedev(major, minor);
    let error = |error| SysError::new("make device node", path.display(), error);
    match rustix::fs::mknodat(&folder, last, FileType::CharacterDevice, MODE, device) {
        // The agent's mask of modes is whatever the daemon has.
        Ok(()) => rustix::fs::chmodat(&folder, last, MODE, AtFlags::empty()).map_err(error),
        // The host is a container itself.
        Err(Errno::PERM) => {
            let node = mount::clone_tree(&path, Depth::This)?;
            let place = make_place(root, &path, &node)?;
            mount::attach_at(node, place)
        }
        Err(errno) => Err(error(errno)),
    }
}
