//! Overlays of idmapped layers, new file systems, squashfs.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sc_sys::mount::{
    self, Attributes, Depth, NewMount, Overlay, OverlayWay, Propagation, Writable,
};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::process;

use crate::namespaces::{BASE, userns};
use crate::{Test, in_child};

pub(crate) const TESTS: &[Test] = &[
    ("the_way_that_this_kernel_takes_makes_an_overlay", any_way),
    ("an_overlay_by_attached_layers_serves_a_guest", attached_way),
    ("an_overlay_by_mount_2_serves_a_guest", legacy_way),
    ("an_overlay_without_upper_is_read_only", read_only_overlay),
    ("an_overlay_on_a_full_disk_says_that_it_is_full", full_disk),
    ("a_refused_mount_tells_the_kernels_words", kernel_words),
    ("a_new_tmpfs_has_its_options_and_attributes", tmpfs_options),
    ("a_squashfs_is_mounted_and_its_loop_device_goes_with_it", squashfs),
    ("pivoting_leaves_nothing_of_the_old_root", pivot),
];

/// A lower, an upper and a work directory on the disk.
struct Layers {
    dir: tempfile::TempDir,
}

impl Layers {
    fn new() -> Self {
        // Not /tmp, which may be a tmpfs that old kernels cannot idmap.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        for name in ["lower/etc/sub", "rw/upper", "rw/work", "scratch"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("lower/etc/file"), "lower").unwrap();
        fs::set_permissions(dir.path().join("rw/upper"), fs::Permissions::from_mode(0o755))
            .unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn overlay(&self, make: Make) -> OwnedFd {
        let userns = userns();
        let tree = |name| {
            let tree = mount::clone_tree(self.path(name), Depth::This).unwrap();
            mount::idmap(&tree, &userns).unwrap();
            tree
        };
        let (lower, rw) = (tree("lower"), tree("rw"));
        let spec = Overlay {
            lowers: &[lower.as_fd()],
            writable: Some(Writable {
                tree: rw.as_fd(),
                upper: Path::new("upper"),
                work: Path::new("work"),
            }),
            options: &[
                ("redirect_dir", "on"),
                ("index", "off"),
                ("metacopy", "off"),
                ("xino", "auto"),
            ],
            owner: (BASE, BASE),
            scratch: &self.path("scratch"),
        };
        make(&spec).unwrap()
    }
}

/// Makes an overlay in one way or another.
type Make = fn(&Overlay<'_>) -> sc_sys::Result<OwnedFd>;

/// In a mount namespace of its own, as a guest's root: writes, changes, renames and removes.
fn serves_a_guest(make: Make) {
    let layers = Layers::new();
    in_child(Namespaces::NEWNS, || {
        mount::make_propagation("/", Propagation::Private, Depth::Recursive).unwrap();
        let overlay = layers.overlay(make);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("scratch"), "nothing is left attached");
        let root = format!("/proc/self/fd/{}", overlay.as_raw_fd());
        namespace::enter(userns(), Namespaces::NEWUSER).unwrap();
        process::set_gid_uid(0, 0, Some(&[])).unwrap();
        // `/proc/self` belongs to the process's own ids again.
        let dumpable = rustix::process::DumpableBehavior::Dumpable;
        rustix::process::set_dumpable_behavior(dumpable).unwrap();
        let at = |name: &str| format!("{root}/{name}");
        assert_eq!(fs::metadata(at("etc/file")).unwrap().uid(), 0);
        fs::write(at("new"), "new").unwrap();
        std::os::unix::fs::chown(at("new"), Some(1000), Some(33)).unwrap();
        fs::write(at("etc/file"), "changed").unwrap();
        fs::rename(at("etc/sub"), at("etc/renamed")).unwrap();
        fs::remove_dir(at("etc/renamed")).unwrap();
    });
    let stat = |name| fs::symlink_metadata(layers.path(name)).unwrap();
    assert_eq!((stat("rw/upper/new").uid(), stat("rw/upper/new").gid()), (1000, 33));
    assert_eq!((stat("rw/upper/etc/file").uid(), stat("rw/upper/etc/file").gid()), (0, 0));
    assert_eq!(fs::read(layers.path("lower/etc/file")).unwrap(), b"lower");
    assert_eq!(fs::read(layers.path("rw/upper/etc/file")).unwrap(), b"changed");
}

fn any_way() {
    serves_a_guest(mount::overlay_any_way);
}

fn attached_way() {
    serves_a_guest(|spec| mount::overlay(spec, OverlayWay::Attached));
}

fn legacy_way() {
    serves_a_guest(|spec| mount::overlay(spec, OverlayWay::Legacy));
}

fn read_only_overlay() {
    let layers = Layers::new();
    in_child(Namespaces::NEWNS, || {
        mount::make_propagation("/", Propagation::Private, Depth::Recursive).unwrap();
        let lower = mount::clone_tree(layers.path("lower"), Depth::This).unwrap();
        let rw = mount::clone_tree(layers.path("rw"), Depth::This).unwrap();
        let spec = Overlay {
            lowers: &[lower.as_fd(), rw.as_fd()],
            writable: None,
            options: &[],
            owner: (0, 0),
            scratch: &layers.path("scratch"),
        };
        let overlay = mount::overlay_any_way(&spec).unwrap();
        assert!(mount::is_read_only(&overlay).unwrap());
    });
}

fn full_disk() {
    let layers = Layers::new();
    in_child(Namespaces::NEWNS, || {
        mount::make_propagation("/", Propagation::Private, Depth::Recursive).unwrap();
        let disk = NewMount::new("tmpfs").option("nr_inodes", "3").create().unwrap();
        for name in ["upper", "work"] {
            rustix::fs::mkdirat(&disk, name, rustix::fs::Mode::RWXU).unwrap();
        }
        let lower = mount::clone_tree(layers.path("lower"), Depth::This).unwrap();
        let spec = Overlay {
            lowers: &[lower.as_fd()],
            writable: Some(Writable {
                tree: disk.as_fd(),
                upper: Path::new("upper"),
                work: Path::new("work"),
            }),
            options: &[],
            owner: (0, 0),
            scratch: &layers.path("scratch"),
        };
        let error = mount::overlay_any_way(&spec).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
    });
}

fn kernel_words() {
    let error = NewMount::new("tmpfs").option("sizes", "1m").create().unwrap_err();
    assert!(error.object().contains("Unknown parameter"), "{error}");
    assert_eq!(error.errno(), Some(libc::EINVAL));
    let error = NewMount::new("nosuchfs").create().unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENODEV));
}

fn tmpfs_options() {
    let attributes = Attributes { no_exec: true, ..Attributes::default() };
    let tmpfs =
        NewMount::new("tmpfs").option("mode", "0711").attributes(attributes).create().unwrap();
    let stat = rustix::fs::fstat(&tmpfs).unwrap();
    assert_eq!(stat.st_mode & 0o7777, 0o711);
    let flags = || rustix::fs::fstatvfs(&tmpfs).unwrap().f_flag;
    assert!(flags().contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    let read_only = Attributes { read_only: true, ..Attributes::default() };
    mount::change_attributes(&tmpfs, read_only, attributes, None, Depth::This).unwrap();
    assert!(mount::is_read_only(&tmpfs).unwrap());
    assert!(!flags().contains(rustix::fs::StatVfsMountFlags::NOEXEC));
}

fn squashfs() {
    let layers = Layers::new();
    let image = layers.path("image");
    sc_sys::command::Runner::new("mksquashfs")
        .arg(layers.path("lower"))
        .arg(&image)
        .args(["-quiet", "-no-progress"])
        .run()
        .unwrap();
    let attached = || {
        let devices = fs::read_dir("/sys/block").unwrap().flatten();
        let files =
            devices.filter_map(|d| fs::read_to_string(d.path().join("loop/backing_file")).ok());
        files.filter(|file| file.trim() == image.to_string_lossy()).count()
    };
    let mount = || {
        let file = fs::File::open(&image).unwrap();
        mount::LoopDevice::attach(&file).unwrap().mount_squashfs()
    };
    let tree = mount().unwrap();
    let path = format!("/proc/self/fd/{}/etc/file", tree.as_raw_fd());
    assert_eq!(fs::read(path).unwrap(), b"lower");
    assert_eq!(attached(), 1);
    drop(tree);
    // The device goes with the last user, which the kernel lets go of a moment later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while attached() > 0 && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(attached(), 0);
    fs::write(&image, "no image").unwrap();
    assert!(mount().is_err());
}

fn pivot() {
    let dir = tempfile::tempdir().unwrap();
    in_child(Namespaces::NEWNS, || {
        mount::make_propagation("/", Propagation::Private, Depth::Recursive).unwrap();
        let tmpfs = NewMount::new("tmpfs").create().unwrap();
        mount::attach(&tmpfs, dir.path()).unwrap();
        mount::pivot_into(&tmpfs).unwrap();
        assert_eq!(fs::read_dir("/").unwrap().count(), 0);
    });
}
