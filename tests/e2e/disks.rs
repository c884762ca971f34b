//! Disks and pools of a test's own: one that stops writing when it is told to, one that can be moved away, and one
//! that never answers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sc_tests::Daemon;

/// A disk of the test's own, with a pool on it.
pub(crate) struct Disk(pub PathBuf);

impl Disk {
    #[track_caller]
    pub fn with_pool(daemon: &Daemon, name: &str, driver: &str, mebibytes: u64) -> Self {
        let file = daemon.scratch().join("disk");
        File::create(&file).unwrap().set_len(mebibytes << 20).unwrap();
        // Without blocks that are kept for who may pass limits, as the daemon may: full is full.
        let options = ["-q", "-F", "-m", "0"].map(Path::new);
        run("mkfs.ext4", &[&options[..], &[file.as_path()]].concat());
        let folder = daemon.scratch().join("mnt");
        std::fs::create_dir(&folder).unwrap();
        run("mount", &[Path::new("-o"), Path::new("loop"), &file, &folder]);
        let disk = Self(folder);
        let source = disk.0.join("pool");
        std::fs::create_dir(&source).unwrap();
        let source = format!("source={}", source.display());
        daemon.sc(&["storage", "create", name, driver, &source]).ok();
        disk
    }

    pub fn freeze(&self) {
        run("fsfreeze", &[Path::new("--freeze"), &self.0]);
    }

    pub fn thaw(&self) {
        run("fsfreeze", &[Path::new("--unfreeze"), &self.0]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for (program, option) in [("fsfreeze", "--unfreeze"), ("umount", "--lazy")] {
            let mut command = Command::new(program);
            let _ = command.arg(option).arg(&self.0).stderr(Stdio::null()).status();
        }
    }
}

#[track_caller]
fn run(program: &str, args: &[&Path]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// The pool `other` in a folder of the test's own, which can be moved away.
pub(crate) struct Movable {
    pub folder: PathBuf,
    pub away: PathBuf,
}

impl Movable {
    #[track_caller]
    pub fn with_pool(daemon: &Daemon, driver: &str) -> Self {
        let (folder, away) = (daemon.scratch().join("given"), daemon.scratch().join("away"));
        std::fs::create_dir(&folder).unwrap();
        let source = format!("source={}", folder.display());
        daemon.sc(&["storage", "create", "other", driver, &source]).ok();
        Self { folder, away }
    }

    /// Moves it away; an empty folder is there then.
    #[track_caller]
    pub fn lose(&self) {
        std::fs::rename(&self.folder, &self.away).unwrap();
        std::fs::create_dir(&self.folder).unwrap();
    }

    #[track_caller]
    pub fn find(&self) {
        std::fs::remove_dir(&self.folder).unwrap();
        std::fs::rename(&self.away, &self.folder).unwrap();
    }
}

/// A file system over a folder whose server never answers, until it is dropped.
pub(crate) struct Silent {
    folder: PathBuf,
    server: Option<File>,
}

impl Silent {
    #[track_caller]
    pub fn over(folder: &Path) -> Self {
        use std::os::fd::AsRawFd;
        let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let (source, kind) = (Some("silent"), Some("fuse"));
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(source, folder, kind, flags, Some(options.as_str())).unwrap();
        Self { folder: folder.to_owned(), server: Some(server) }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Whoever waits is told that there is no server any more.
        self.server.take();
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
