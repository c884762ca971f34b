//! Where things lie under `SC_DIR`.
//!
//! ```text
//! unix.socket              the API
//! database/                the store
//! images/                  image files by fingerprint
//! builds/                  images being built; cleared when a daemon starts
//! storage-pools/NAME/      pools
//! networks/NAME/           dnsmasq's files
//! logs/NAME/               an instance's agent log and console log
//! run/BOOT/                what is of no use after a reboot: agents' sockets and exit records
//! ```

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sc_storage::Fingerprint;

use crate::error::{Context, Result};

/// Where state lies unless told otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/sc";

/// The longest path of a unix socket, the closing zero included (`unix(7)`).
const SOCKET_PATH_MAX: usize = 108;

/// The places under one `SC_DIR`.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
    boot_id: String,
}

impl Paths {
    /// The places under `root`, an absolute path, during the host's present boot.
    pub fn new(root: PathBuf) -> Result<Self> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context("read /proc/sys/kernel/random/boot_id")?;
        // Eight digits tell boots apart and leave room in the sockets' 108 bytes.
        let boot_id = boot_id.trim().chars().take(8).collect();
        let paths = Self { root, boot_id };
        let longest = paths.agent_socket(u64::from(u32::MAX));
        if longest.as_os_str().len() >= SOCKET_PATH_MAX {
            return Err(crate::error::Error::invalid(format!(
                "the path {} is too long for unix sockets: choose a shorter SC_DIR",
                paths.root.display()
            )));
        }
        Ok(paths)
    }

    /// Makes the folders that must be there. Only the root can be entered by others, for the
    /// sake of the socket in it; they can list nothing.
    pub fn create(&self) -> Result<()> {
        make(&self.root, 0o711)?;
        // dnsmasq reads its files there as a user of its own.
        make(&self.root.join("networks"), 0o711)?;
        for private in ["images", "storage-pools", "logs", "run"] {
            make(&self.root.join(private), 0o700)?;
        }
        make(&self.run_dir(), 0o700)?;
        self.remove_other_boots()
    }

    /// Removes the run folders of boots that are over.
    fn remove_other_boots(&self) -> Result<()> {
        let dir = self.root.join("run");
        let entries = std::fs::read_dir(&dir).context(format!("list {}", dir.display()))?;
        for entry in entries.filter_map(std::result::Result::ok) {
            if entry.file_name().to_str() != Some(&self.boot_id) {
                std::fs::remove_dir_all(entry.path())
                    .context(format!("remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }

    /// `SC_DIR` itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names the host's present boot.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("unix.socket")
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.root.join("database")
    }

    /// Something that a daemon has made after its store, where there is nothing of the store; `None` where there
    /// is a store, or was never one. What others leave there, as `lost+found` on a disk of its own, is nothing.
    pub fn left_without_store(&self) -> Option<PathBuf> {
        // Where they cannot be looked for, the store's opening tells why.
        if has_any(&self.store(), &["store.db", "store.db-wal"]) {
            return None;
        }
        let kept = ["storage-pools", "networks", "images", "logs"];
        kept.iter().find_map(|folder| {
            let entries = std::fs::read_dir(self.root.join(folder)).ok()?;
            let mut paths = entries.filter_map(std::result::Result::ok).map(|entry| entry.path());
            paths.find(|path| is_ours(folder, path))
        })
    }

    /// The folder of image files.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Where pool `name` lies unless its `source` says otherwise.
    pub fn pool(&self, name: &str) -> PathBuf {
        self.root.join("storage-pools").join(name)
    }

    /// The state of network `name`.
    pub fn network(&self, name: &str) -> PathBuf {
        self.root.join("networks").join(name)
    }

    /// The logs of instance `name`.
    pub fn logs(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(name)
    }

    /// The agent's log of instance `name`.
    pub fn agent_log(&self, name: &str) -> PathBuf {
        self.logs(name).join("lxc.log")
    }

    /// The console log of instance `name`.
    pub fn console_log(&self, name: &str) -> PathBuf {
        self.logs(name).join("console.log")
    }

    /// What is of no use after a reboot.
    pub fn run_dir(&self) -> PathBuf {
        self.root.join("run").join(&self.boot_id)
    }

    /// The agent's socket of run `run`.
    pub fn agent_socket(&self, run: u64) -> PathBuf {
        self.run_dir().join(format!("{run}.sock"))
    }

    /// The exit record of run `run`.
    pub fn exit_record(&self, run: u64) -> PathBuf {
        self.run_dir().join(format!("{run}.exit"))
    }
}

/// Whether what lies in one of the root's folders is something that only a daemon makes.
fn is_ours(folder: &str, path: &Path) -> bool {
    match folder {
        "storage-pools" => has_any(path, &["format.json"]),
        "networks" => has_any(path, &["bridge.hwaddr"]),
        "logs" => has_any(path, &["lxc.log", "console.log"]),
        _ => path.file_name().and_then(OsStr::to_str).is_some_and(|name| {
            Fingerprint::new(name.strip_suffix(".rootfs").unwrap_or(name)).is_ok()
        }),
    }
}

/// Whether one of these is in a folder. What cannot be looked for counts as there.
fn has_any(folder: &Path, names: &[&str]) -> bool {
    let is_there = |name: &&str| match std::fs::symlink_metadata(folder.join(name)) {
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        Ok(_) => true,
    };
    names.iter().any(is_there)
}

fn make(path: &Path, mode: u32) -> Result<()> {
    let create = || std::fs::DirBuilder::new().mode(mode).recursive(false).create(path);
    let mut made = create();
    if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).context(format!("make the folder {}", parent.display()))?;
        made = create();
    }
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.context(format!("make the folder {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_leaves_no_room_for_sockets_is_refused() {
        assert!(Paths::new(PathBuf::from("/var/lib/sc")).is_ok());
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(90)));
        assert!(Paths::new(long).unwrap_err().chain().contains("shorter SC_DIR"));
    }

    #[test]
    fn a_place_where_no_folder_can_be_made_is_told() {
        let error = Paths::new("/proc/nowhere".into()).unwrap().create().unwrap_err();
        assert!(error.chain().contains("/proc/nowhere"), "{}", error.chain());
    }

    #[test]
    fn what_a_disk_brings_along_is_no_sign_of_a_lost_store_and_what_a_daemon_made_is() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths { root: root.path().to_owned(), boot_id: String::new() };
        for folder in ["storage-pools", "networks", "images", "logs"] {
            std::fs::create_dir_all(root.path().join(folder).join("lost+found")).unwrap();
            std::fs::write(root.path().join(folder).join("README"), "a disk").unwrap();
        }
        assert_eq!(paths.left_without_store(), None);
        let hex = "0123456789abcdef".repeat(4);
        for (entry, file) in [
            ("networks/scbr0", "bridge.hwaddr"),
            ("logs/c1", "console.log"),
            ("images", &hex),
            ("images", &format!("{hex}.rootfs")),
        ] {
            let folder = root.path().join(entry);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), "").unwrap();
            let left = paths.left_without_store().expect(entry);
            assert!(left == folder || left == folder.join(file), "{}", left.display());
            std::fs::remove_file(folder.join(file)).unwrap();
        }
        let pool = paths.pool("default");
        let kind = sc_storage::DriverKind::Dir;
        drop(sc_storage::create(&pool, kind, &Default::default()).unwrap());
        assert_eq!(paths.left_without_store(), Some(pool));
        std::fs::create_dir(paths.store()).unwrap();
        std::fs::write(paths.store().join("store.db"), "").unwrap();
        assert_eq!(paths.left_without_store(), None);
    }
}
