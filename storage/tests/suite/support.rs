//! A pool in a folder of its own, an image to put in it, and mounting what it plans.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sc_storage::{
    BoxError, Driver, DriverKind, Fingerprint, LayerTree, Root, RootPlan, Source, VolumeName,
    no_progress,
};
use sc_sys::idmap::IdRange;
use sc_sys::mount::{Depth, FsIds, Overlay, Writable, overlay_any_way};
use sc_sys::namespace::UserNamespace;

/// The host id of the guests' root.
pub const BASE: u32 = 0x7000_0000;

/// A pool that goes away with its test.
pub struct Pool {
    pub driver: Arc<dyn Driver>,
    pub path: PathBuf,
    folder: tempfile::TempDir,
}

impl Pool {
    pub fn new(kind: DriverKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool");
        let driver = sc_storage::create(&path, kind, &BTreeMap::new()).unwrap();
        Self { driver, path, folder }
    }

    /// A pool that has the image.
    pub fn with_image(kind: DriverKind) -> (Self, Fingerprint) {
        let (pool, image) = (Self::new(kind), fingerprint(1));
        pool.driver.import_image(&image, &mut |root| fill(root)).unwrap();
        (pool, image)
    }

    /// A folder outside the pool, on the same file system.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    pub fn create(&self, name: &str, image: &Fingerprint) -> VolumeName {
        let name = volume(name);
        self.driver.create_volume(&name, Source::Image(image), &no_progress).unwrap();
        name
    }

    /// Closes the pool and opens it again, as a new daemon does.
    pub fn reopen(self) -> Self {
        let Self { driver, path, folder } = self;
        drop(driver);
        let driver = sc_storage::open(&path).unwrap();
        Self { driver, path, folder }
    }

    /// Closes the pool and leaves its folder.
    pub fn close(self) -> Closed {
        let Self { driver, path, folder } = self;
        drop(driver);
        Closed { path, folder }
    }

    /// Every entry below the pool, trash and all.
    pub fn entries(&self) -> Vec<PathBuf> {
        fn walk(path: &Path, out: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                out.push(entry.path());
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), out);
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.path, &mut out);
        out.sort();
        out
    }
}

/// A pool that nobody has open.
pub struct Closed {
    pub path: PathBuf,
    folder: tempfile::TempDir,
}

impl Closed {
    /// The folder that the pool's folder is in.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }
}

pub fn volume(name: &str) -> VolumeName {
    VolumeName::new(name).unwrap()
}

pub fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint::new(&format!("{number:02x}").repeat(32)).unwrap()
}

/// Whether the tests can run at all.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not root: nothing tested");
    }
    root
}

/// A small root file system with several owners, a setuid file and links.
pub fn fill(root: &Path) -> Result<(), BoxError> {
    fs::create_dir_all(root.join("etc"))?;
    fs::create_dir_all(root.join("srv/www"))?;
    fs::write(root.join("etc/hostname"), "image\n")?;
    fs::write(root.join("srv/www/index"), "hello")?;
    chown(root.join("srv/www"), Some(33), Some(33))?;
    chown(root.join("srv/www/index"), Some(33), Some(33))?;
    fs::write(root.join("su"), "#!")?;
    fs::set_permissions(root.join("su"), fs::Permissions::from_mode(0o4755))?;
    symlink("/etc/hostname", root.join("link"))?;
    fs::set_permissions(root, fs::Permissions::from_mode(0o751))?;
    Ok(())
}

/// A volume's root, mounted detached with its ids mapped, as an agent does it.
pub struct Mounted {
    mount: OwnedFd,
    _plan: RootPlan,
}

impl Mounted {
    pub fn new(driver: &dyn Driver, name: &VolumeName) -> Self {
        let plan = driver.plan(name).unwrap();
        let range = IdRange::new(BASE, 65_536).unwrap();
        let userns = UserNamespace::create(range).unwrap();
        let mount = match &plan.root {
            Root::Tree { path } => mapped(sc_sys::mount::clone_tree(path, Depth::This), &userns),
            Root::Overlay { lowers, writable, upper, work, options } => {
                let lowers: Vec<OwnedFd> = lowers
                    .iter()
                    .map(|lower| match lower {
                        LayerTree::Path(path) => {
                            mapped(sc_sys::mount::clone_tree(path, Depth::This), &userns)
                        }
                        LayerTree::Fd(fd) => mapped(Ok(fd.try_clone().unwrap()), &userns),
                    })
                    .collect();
                let writable = mapped(sc_sys::mount::clone_tree(writable, Depth::This), &userns);
                overlay(&lowers, &writable, (upper, work), options)
            }
        };
        Self { mount, _plan: plan }
    }

    /// A path in the root.
    pub fn path(&self, below: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{below}", self.mount.as_raw_fd()))
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// Does something as the guest's root would.
    pub fn as_root<T>(&self, act: impl FnOnce(&Self) -> T) -> T {
        let _ids = FsIds::assume(BASE, BASE).unwrap();
        act(self)
    }
}

fn mapped(tree: sc_sys::Result<OwnedFd>, userns: &UserNamespace) -> OwnedFd {
    let tree = tree.unwrap();
    sc_sys::mount::idmap(&tree, userns).unwrap();
    tree
}

fn overlay(
    lowers: &[OwnedFd],
    writable: &OwnedFd,
    (upper, work): (&str, &str),
    options: &[(String, String)],
) -> OwnedFd {
    let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
    let options: Vec<_> = options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let scratch = tempfile::tempdir().unwrap();
    let spec = Overlay {
        lowers: &lowers,
        writable: Some(Writable {
            tree: writable.as_fd(),
            upper: Path::new(upper),
            work: Path::new(work),
        }),
        options: &options,
        owner: (BASE, BASE),
        scratch: scratch.path(),
    };
    // The ways of older kernels attach for a moment: in a mount namespace that is a thread's own.
    std::thread::scope(|scope| {
        let apart = scope.spawn(|| {
            sc_sys::namespace::unshare(
                sc_sys::namespace::Namespaces::FS | sc_sys::namespace::Namespaces::NEWNS,
            )
            .unwrap();
            sc_sys::mount::make_propagation(
                "/",
                sc_sys::mount::Propagation::Private,
                Depth::Recursive,
            )
            .unwrap();
            overlay_any_way(&spec).unwrap()
        });
        apart.join().unwrap()
    })
}
