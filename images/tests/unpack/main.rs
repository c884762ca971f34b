//! Unpacking in the real sandbox: this program is its own unpacker when it is executed with the role.
//!
//! Needs root, as the daemon does; every test works in a folder of its own.

#![allow(clippy::unwrap_used, reason = "all of it is a test, though not by attribute")]

mod archive;
mod faithful;
mod hostile;
mod packages;
mod sandbox;
mod squashfs;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
};

use libtest_mimic::{Arguments, Trial};
use sc_images::{
    ImageFiles, Limits, Progress, SANDBOX_ROLE, Sandboxing, Silent, UnpackedImage, sandbox_main,
};

/// What a test is.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|role| role == SANDBOX_ROLE) {
        return sandbox_main(args);
    }
    let trial = |(name, test): &Test| {
        let test = *test;
        Trial::test(*name, move || {
            test();
            Ok(())
        })
    };
    let quick = [hostile::TESTS, faithful::TESTS, sandbox::TESTS, squashfs::TESTS].concat();
    let mut trials: Vec<Trial> = quick.iter().map(trial).collect();
    trials.extend(packages::TESTS.iter().map(|test| trial(test).with_ignored_flag(true)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A folder with a target to unpack into and a witness beside it that nothing may touch.
struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::create_dir(dir.path().join("target")).unwrap();
        std::fs::write(dir.path().join("witness"), "untouched").unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn target(&self) -> PathBuf {
        self.path("target")
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Whether nothing but the target and what the test put there is in the folder.
    fn assert_witness(&self, own: &[&str]) {
        let witness = std::fs::read_to_string(self.path("witness")).unwrap();
        assert_eq!(witness, "untouched");
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = ["target", "witness"].contains(&name.as_str()) || own.contains(&&*name);
            assert!(known, "{name} has appeared beside the target");
        }
    }
}

/// Unpacks one file as a unified image.
fn unpack_unified(room: &Room, path: &Path) -> sc_images::Result<UnpackedImage> {
    unpack_with(room, path, &Limits::default(), &Silent)
}

fn unpack_with(
    room: &Room,
    path: &Path,
    limits: &Limits,
    progress: &dyn Progress,
) -> sc_images::Result<UnpackedImage> {
    let files = ImageFiles { metadata: path.to_owned(), rootfs: None };
    sc_images::unpack(&files, &room.target(), limits, &sandboxing(), progress)
}

/// This program as the unpacker, on ids that no other test uses at the time.
fn sandboxing() -> Sandboxing {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Sandboxing {
        exe: std::env::current_exe().unwrap(),
        base_id: 0x7000_0000 + 0x1_0000 * (1000 + number % 500),
    }
}
