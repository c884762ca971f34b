//! Debian guests, built by the `packages` remote and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::busybox::run;
use super::{cache, lock};
use crate::Daemon;

/// A Debian image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debian {
    /// Debian 12 with systemd 252.
    Bookworm,
    /// Debian 13 with systemd 257.
    Trixie,
    /// Debian 12 with sysvinit-core.
    BookwormSysvinit,
}

impl Debian {
    /// Its name at the remote.
    pub fn remote_name(self) -> &'static str {
        match self {
            Self::Bookworm => "debian:12",
            Self::Trixie => "debian:13",
            Self::BookwormSysvinit => "debian:12/sysvinit",
        }
    }

    /// The alias that [`Debian::import`] gives.
    pub fn alias(self) -> &'static str {
        match self {
            Self::Bookworm => "debian-12",
            Self::Trixie => "debian-13",
            Self::BookwormSysvinit => "debian-12-sysvinit",
        }
    }

    /// Puts the image into the daemon's store. Only the first run on a machine builds it.
    #[track_caller]
    pub fn import(self, daemon: &Daemon) {
        let _held = lock(self.alias());
        let folder = cache().join(format!("{}-{}", self.alias(), recipes()));
        if !folder.join("rootfs").exists() {
            self.build(daemon, &folder);
            return;
        }
        let files = ["metadata", "rootfs"].map(|name| folder.join(name).display().to_string());
        daemon.sc(&["image", "import", &files[0], &files[1], "--alias", self.alias()]).ok();
    }

    /// Builds it in the daemon's store and keeps a copy of its two files.
    #[track_caller]
    pub fn build(self, daemon: &Daemon, keep: &Path) {
        let alias = self.alias();
        daemon.sc(&["image", "copy", self.remote_name(), "local:", "--alias", alias]).ok();
        let images = daemon.json(&["image", "list", "-f", "json"]);
        let images = images.as_array().expect("the list is an array");
        let named = |image: &&serde_json::Value| {
            let aliases = image["aliases"].as_array();
            aliases.is_some_and(|all| all.iter().any(|one| one["name"] == alias))
        };
        let image = images.iter().find(named).expect("the image has its alias");
        let fingerprint = image["fingerprint"].as_str().expect("a fingerprint is text");
        let stored = daemon.dir().join("images").join(fingerprint);
        let new = keep.with_extension("new");
        // What a run that was broken off has left is of no use.
        let _ = std::fs::remove_dir_all(&new);
        std::fs::create_dir_all(&new).expect("the cache takes a folder");
        let copy = |from: PathBuf, to: &str| {
            std::fs::copy(&from, new.join(to))
                .unwrap_or_else(|error| panic!("copy {}: {error}", from.display()))
        };
        copy(stored.clone(), "metadata");
        copy(stored.with_extension("rootfs"), "rootfs");
        std::fs::rename(&new, keep).expect("the cache takes a folder");
    }
}

/// A tarball as stock mmdebstrap writes it, with its device nodes, and metadata beside it: the two
/// files of a split image. Made once and kept.
#[track_caller]
pub fn stock_tar() -> (PathBuf, PathBuf) {
    let _held = lock("stock-mmdebstrap");
    let folder = cache().join("stock-mmdebstrap");
    let (metadata, rootfs) = (folder.join("metadata.tar"), folder.join("rootfs.tar"));
    if rootfs.exists() {
        return (metadata, rootfs);
    }
    std::fs::create_dir_all(&folder).expect("the cache takes a folder");
    let text = format!(
        "architecture: {}\ncreation_date: 1700000000\nproperties: {{os: Debian}}\n",
        std::env::consts::ARCH
    );
    let archive = super::archive::Tar::default().file("metadata.yaml", text.as_bytes());
    std::fs::write(&metadata, archive.done()).expect("the cache takes a file");
    let new = folder.join("new.tar");
    run(Command::new("mmdebstrap")
        .args(["--variant=minbase", "--include=systemd-sysv", "--quiet", "bookworm"])
        .arg(&new));
    std::fs::rename(new, &rootfs).expect("the cache takes a file");
    (metadata, rootfs)
}

/// Names the recipes that images are built by: when they change, what was kept is built again.
fn recipes() -> String {
    use sha2::{Digest, Sha256};
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/src");
    let mut sources = Vec::new();
    if let Ok(entries) = std::fs::read_dir(images.join("packages")) {
        sources.extend(entries.flatten().map(|entry| entry.path()));
    }
    sources.sort();
    let mut digest = Sha256::new();
    for source in sources {
        digest.update(std::fs::read(source).unwrap_or_default());
    }
    digest.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
