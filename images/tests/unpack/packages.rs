//! Images built from packages: minutes and a mirror, so only on request.

use std::{fs, os::unix::fs::MetadataExt, process::Command};

use sc_images::{
    Fingerprint, ImageFiles, Limits, Progress, Silent, Store, format::Format, packages::Remote,
};

use crate::{
    Room, Test,
    archive::{METADATA, Tar},
    sandboxing,
};

pub(crate) const TESTS: &[Test] = &[
    ("packages::a_stock_tar_with_its_eight_devices_is_unpacked", stock_tar),
    ("packages::debian_12_is_built_stored_and_unpacked", debian_12),
];

fn stock_tar() {
    let room = Room::new();
    let tar = room.path("stock.tar");
    let status =
        Command::new("mmdebstrap").args(["--variant=minbase", "bookworm"]).arg(&tar).status();
    assert!(status.unwrap().success());
    let metadata =
        room.file("meta", &Tar::default().file("metadata.yaml", METADATA.as_bytes()).done());
    let files = ImageFiles { metadata, rootfs: Some(tar.clone()) };
    let start = std::time::Instant::now();
    let image =
        sc_images::unpack(&files, &room.target(), &Limits::default(), &sandboxing(), &Silent)
            .unwrap();
    println!("unpacked in {:?}: {:?}", start.elapsed(), image.stats);
    assert_eq!(image.stats.dropped_devices, 8);
    // Beside another unpacking of the same archive, by tar and as root.
    let other = room.path("other");
    fs::create_dir(&other).unwrap();
    let mut command = Command::new("tar");
    command.args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]).arg(&tar);
    assert!(command.arg("-C").arg(&other).status().unwrap().success());
    let list = |dir: &std::path::Path| {
        let script = "cd \"$1\" && find . ! -type c \\( -type d -printf '%p %y %U:%G %m %Ts\\n' -o \
                      -printf '%p %y %U:%G %m %s %l %Ts %n\\n' \\) | sort && \
                      find . -type f -print0 | sort -z | xargs -0 sha256sum";
        Command::new("sh").args(["-c", script, "sh"]).arg(dir).output().unwrap().stdout
    };
    assert!(list(&room.target()) == list(&other), "the two differ");
}

/// Prints the steps, as a user would see them.
struct Shown;

impl Progress for Shown {
    fn step(&self, name: &str) {
        println!("{name}");
    }
    fn bytes(&self, _: u64, _: Option<u64>) {}
}

fn debian_12() {
    let room = Room::new();
    let work = room.path("work");
    fs::create_dir(&work).unwrap();
    let remote = Remote::debian();
    let built = remote.build(&remote.find("12").unwrap(), &work, &Shown).unwrap();
    assert!(built.verified);
    let store = Store::open(&room.path("images")).unwrap();
    let fingerprint = Fingerprint::of_files(&built.files.paths(), &Silent).unwrap();
    store.import(&built.files, &fingerprint, &Shown).unwrap();
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0, "scratch is left");
    let files = store.files(&fingerprint).unwrap();
    let seen = sc_images::inspect(&files, &Limits::default(), &sandboxing(), &Shown).unwrap();
    assert_eq!(seen.rootfs_format, Some(Format::Squashfs));
    assert_eq!(seen.metadata.properties["release"], "bookworm");
    let start = std::time::Instant::now();
    let image =
        sc_images::unpack(&files, &room.target(), &Limits::default(), &sandboxing(), &Shown)
            .unwrap();
    println!("unpacked in {:?}: {:?}", start.elapsed(), image.stats);
    assert!(!image.templates.is_empty());
    let at = |name: &str| room.target().join(name);
    assert_eq!(fs::metadata(at("etc/machine-id")).unwrap().len(), 0);
    assert_eq!(fs::metadata(at("etc/shadow")).unwrap().gid(), 42);
    assert!(fs::symlink_metadata(at("sbin/init")).is_ok());
    let keys = fs::read_dir(at("etc")).unwrap().flatten();
    assert!(
        !keys.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("host_key"))
    );
}
