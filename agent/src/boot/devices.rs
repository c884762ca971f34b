//! The guest's `/dev`: a tmpfs with the few devices that every guest may use, its own terminals, and the
//! console.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use sc_agent_protocol::BootFailure;
use sc_sys::Result;
use sc_sys::mount::{self, Attributes, Depth, NewMount};
use sc_sys::pty::{Pty, Size, set_size};
use sc_sys::resolve::Root;

use super::apifs::Covers;
use crate::failure::Step;
use crate::nodes;
use crate::place::make_place;

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Where the console shows, beside being init's standard input and output. Stock SysV, OpenRC and runit
/// start their getty on the first virtual terminal only.
const CONSOLES: [&str; 2] = ["dev/console", "dev/tty1"];
const CONSOLE_SIZE: Size = Size { rows: 24, columns: 80 };

/// The console, and where more terminals come from.
pub(super) struct Console {
    /// The root directory of the guest's devpts.
    pub devpts: OwnedFd,
    /// Both ends.
    pub pty: Pty,
}

/// Fills `/dev` and opens the console.
pub(super) fn populate(
    root: &Root,
    covers: &mut Covers,
) -> std::result::Result<Console, BootFailure> {
    mount_dev(root).step("mount /dev")?;
    for name in nodes::names() {
        if Path::new("/dev").join(name).exists() {
            show(root, name).step("show device")?;
        }
    }
    for (name, target) in LINKS {
        root.symlink(target, Path::new("dev").join(name)).step("populate /dev")?;
    }
    let devpts = mount_devpts(root).step("mount /dev/pts")?;
    mount_at(root, "dev/shm", NewMount::new("tmpfs").source("tmpfs").option("mode", "1777"))
        .step("mount /dev/shm")?;
    mount_at(root, "dev/mqueue", NewMount::new("mqueue").source("mqueue"))
        .step("mount /dev/mqueue")?;
    // Huge pages cannot be mounted in a user namespace, which systemd would call a failure.
    root.make_dirs("dev/hugepages", 0o755).step("populate /dev")?;
    covers.cover(root, "dev/hugepages").step("populate /dev")?;
    let pty = open_console(root, &devpts).step("open console")?;
    Ok(Console { devpts, pty })
}

fn mount_dev(root: &Root) -> Result<()> {
    let place = root.make_dirs("dev", 0o755)?;
    let tree = NewMount::new("tmpfs")
        .source("none")
        .option("mode", "0755")
        .option("size", "512k")
        .attributes(Attributes { no_suid: true, ..Attributes::default() })
        .create()?;
    mount::attach_at(tree, place)
}

fn show(root: &Root, name: &str) -> Result<()> {
    let node = mount::clone_tree(Path::new("/dev").join(name), Depth::This)?;
    let place = make_place(root, &Path::new("dev").join(name), &node)?;
    mount::attach_at(node, place)
}

fn mount_at(root: &Root, path: &str, new: NewMount<'_>) -> Result<()> {
    let place = root.make_dirs(path, 0o755)?;
    let tree = new.attributes(Attributes::NO_SUID_DEV_EXEC).create()?;
    mount::attach_at(tree, place)
}

fn mount_devpts(root: &Root) -> Result<OwnedFd> {
    let place = root.make_dirs("dev/pts", 0o755)?;
    let tree = NewMount::new("devpts")
        .source("devpts")
        .flag("newinstance")
        .option("ptmxmode", "0666")
        .option("mode", "0620")
        .option("gid", "5")
        .option("max", "1024")
        .attributes(Attributes { no_dev: false, ..Attributes::NO_SUID_DEV_EXEC })
        .create()?;
    mount::attach_at(&tree, place)?;
    // A descriptor to look names up in, rather than the mount's own.
    root.open("dev/pts", OFlags::PATH | OFlags::DIRECTORY, 0)
}

fn open_console(root: &Root, devpts: &OwnedFd) -> Result<Pty> {
    let pty = Pty::open_in(devpts)?;
    set_size(&pty.master, CONSOLE_SIZE)?;
    for path in CONSOLES {
        let node = mount::clone_tree_at(pty.terminal.as_fd(), Depth::This)?;
        let place = make_place(root, Path::new(path), &node)?;
        mount::attach_at(node, place)?;
    }
    Ok(pty)
}
