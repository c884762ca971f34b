//! A disk of the daemon's own, whose power can be cut.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, once there is something to read: what is not on the
/// disk yet never gets there.
const KNIFE: &str = "import fcntl, os, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
sys.stdin.read(1)
fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))";

/// An ext4 in a file, mounted.
#[derive(Debug)]
pub(super) struct Disk {
    image: PathBuf,
    at: PathBuf,
    /// Started beforehand, since its start takes longer than what is to be cut off.
    knife: Child,
}

impl Disk {
    /// Makes one that is mounted at `at`, which must not be there yet.
    #[track_caller]
    pub fn make(image: PathBuf, at: &Path) -> Self {
        std::fs::create_dir(at).expect("a folder can be made");
        let file = std::fs::File::create(&image).expect("a file can be made");
        file.set_len(4 << 30).expect("a file may have holes");
        run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&image));
        let knife = mount(&image, at);
        Self { image, at: at.to_owned(), knife }
    }

    /// From now on nothing is written, and everybody who tries gets an error.
    #[track_caller]
    pub fn cut_power(&mut self) {
        let mut word = self.knife.stdin.take().expect("it was piped");
        word.write_all(b"!").expect("the knife waits");
        assert!(self.knife.wait().expect("our own child").success(), "the power cannot be cut");
    }

    /// Mounts it again after a cut. Nobody uses it any more.
    #[track_caller]
    pub fn power_on(&mut self) {
        unmount(&self.at);
        // What was cut off may live on in mount namespaces of others: a copy is another disk.
        let next = self.image.with_extension("next");
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&next));
        std::fs::rename(&next, &self.image).expect("a file can take another's place");
        self.knife = mount(&self.image, &self.at);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.knife.kill();
        let _ = self.knife.wait();
        unmount(&self.at);
    }
}

/// Mounts the disk, and starts what can cut its power.
#[track_caller]
fn mount(image: &Path, at: &Path) -> Child {
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
    let mut knife = Command::new("python3");
    knife.args(["-c", KNIFE]).arg(at).stdin(Stdio::piped());
    knife.spawn().expect("python3 is missing: install the package python3")
}

fn unmount(at: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(at).output();
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
