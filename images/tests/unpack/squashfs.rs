//! Split images whose root filesystem is a squashfs.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use sc_images::{ErrorKind, Fingerprint, ImageFiles, Limits, Silent};

use crate::{
    Room, Test,
    archive::{METADATA, Tar, through},
    sandboxing,
};

pub(crate) const TESTS: &[Test] = &[
    ("squashfs::a_split_image_is_unpacked_faithfully", faithful),
    ("squashfs::its_fingerprint_is_that_of_both_files", fingerprint),
    ("squashfs::a_cut_off_one_is_refused", cut_off),
    ("squashfs::a_device_outside_dev_is_refused", device),
    ("squashfs::a_whiteout_is_refused", whiteout),
    ("squashfs::overlay_attributes_are_refused", overlay),
    ("squashfs::bombs_are_refused_before_anything_is_written", bombs),
    ("squashfs::an_owner_beyond_the_range_is_refused", owner),
];

/// Runs a script in a new folder and packs what it made.
fn pack(room: &Room, script: &str) -> ImageFiles {
    let source = room.path("src");
    fs::create_dir(&source).unwrap();
    let status = Command::new("sh")
        .args(["-ec", &format!("cd \"$1\"; {script}"), "sh"])
        .arg(&source)
        .status();
    assert!(status.unwrap().success());
    let rootfs = room.path("rootfs");
    let mut command = Command::new("mksquashfs");
    command.arg(&source).arg(&rootfs).args(["-quiet", "-no-progress", "-comp", "zstd"]);
    assert!(command.status().unwrap().success());
    fs::remove_dir_all(&source).unwrap();
    let metadata = Tar::default().file("metadata.yaml", METADATA.as_bytes());
    let metadata = room.file("meta", &through(&["xz", "-c"], &metadata.done()));
    fs::set_permissions(&rootfs, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    ImageFiles { metadata, rootfs: Some(rootfs) }
}

fn unpack(
    room: &Room,
    files: &ImageFiles,
    limits: &Limits,
) -> sc_images::Result<sc_images::UnpackedImage> {
    sc_images::unpack(files, &room.target(), limits, &sandboxing(), &Silent)
}

fn refusal(script: &str, limits: &Limits) -> String {
    let room = Room::new();
    let files = pack(&room, script);
    let error = unpack(&room, &files, limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    room.assert_witness(&["meta", "rootfs"]);
    println!("{error}");
    error.to_string()
}

fn faithful() {
    let room = Room::new();
    let files = pack(
        &room,
        "mkdir dev etc; mknod dev/null c 1 3; mknod dev/sda b 8 0; echo hi > etc/x; ln etc/x etc/y; \
         cp /bin/true ping; chown 7:1000 ping; setcap cap_net_raw+ep ping; chmod u+s etc/x; \
         ln -s ../../../../etc/passwd out; ln -s ' -> ' 'odd name'; setfattr -n user.note -v v etc; \
         setfattr -n security.other -v label etc/x; setfattr -n trusted.other -v t etc/x; \
         chown 33:33 .; chmod 711 .; mkfifo p; truncate -s 1M zeros",
    );
    let image = unpack(&room, &files, &Limits::default()).unwrap();
    let at = |name: &str| room.target().join(name);
    let stat = |name: &str| fs::symlink_metadata(at(name)).unwrap();
    assert_eq!((stat("").uid(), stat("").mode() & 0o7777), (33, 0o711));
    assert_eq!((stat("ping").uid(), stat("ping").gid()), (7, 1000));
    assert_eq!(stat("etc/x").ino(), stat("etc/y").ino());
    assert_eq!(stat("etc/x").mode() & 0o7777, 0o4644);
    assert_eq!(stat("zeros").len(), 1 << 20);
    let caps = Command::new("getcap").arg(at("ping")).output().unwrap().stdout;
    assert!(String::from_utf8(caps).unwrap().contains("cap_net_raw=ep"));
    assert_eq!(fs::read_link(at("out")).unwrap(), Path::new("../../../../etc/passwd"));
    assert_eq!(fs::read_dir(at("dev")).unwrap().count(), 0);
    assert_eq!(image.stats.dropped_devices, 2);
    assert!(image.stats.dropped_xattrs >= 1, "{:?}", image.stats);
    room.assert_witness(&["meta", "rootfs"]);
    // The bare conversion does the same.
    let second = Room::new();
    let rootfs = files.rootfs.unwrap();
    let stats = sc_images::unpack_rootfs(
        &rootfs,
        &second.target(),
        &Limits::default(),
        &sandboxing(),
        &Silent,
    );
    assert_eq!(stats.unwrap(), image.stats);
}

fn fingerprint() {
    let room = Room::new();
    let files = pack(&room, "touch x");
    let rootfs = files.rootfs.unwrap();
    let output = Command::new("sh")
        .args(["-c", "cat \"$1\" \"$2\" | sha256sum", "sh"])
        .args([&files.metadata, &rootfs])
        .output()
        .unwrap();
    let found = Fingerprint::of_files(&[&files.metadata, &rootfs], &Silent).unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(found.as_str()));
}

fn cut_off() {
    let room = Room::new();
    let files = pack(&room, "head -c 300000 /dev/urandom > x");
    let rootfs = files.rootfs.clone().unwrap();
    let length = fs::metadata(&rootfs).unwrap().len();
    for length in [length / 2, 50, 4] {
        fs::File::options().write(true).open(&rootfs).unwrap().set_len(length).unwrap();
        let error = unpack(&room, &files, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let error =
            sc_images::inspect(&files, &Limits::default(), &sandboxing(), &Silent).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }
}

fn device() {
    let text = refusal("mkdir etc; mknod etc/sda b 8 0", &Limits::default());
    assert!(text.contains("device node outside dev/") && text.contains("/etc/sda"), "{text}");
}

fn whiteout() {
    let text = refusal("mkdir dev; mknod dev/gone c 0 0", &Limits::default());
    assert!(text.contains("0:0") && text.contains("/dev/gone"), "{text}");
}

fn overlay() {
    let limits = Limits::default();
    let text = refusal("mkdir a; setfattr -n user.overlay.opaque -v y a", &limits);
    assert!(text.contains("user.overlay.opaque"), "{text}");
    let text = refusal("mkdir a; setfattr -n trusted.overlay.opaque -v y a", &limits);
    assert!(text.contains("trusted.overlay.opaque"), "{text}");
}

fn bombs() {
    let limits = Limits { file_bytes: 40 << 20, total_bytes: 64 << 20, ..Limits::default() };
    let text = refusal("truncate -s 200M bomb", &limits);
    assert!(text.contains("claims 209715200 bytes"), "{text}");
    let text = refusal("for i in 1 2 3; do truncate -s 30M $i; done", &limits);
    assert!(text.contains("more than 67108864 bytes together"), "{text}");
    let limits = Limits { files: 10, ..Limits::default() };
    let text = refusal("for i in 1 2 3 4 5 6 7 8 9 10 11; do touch $i; done", &limits);
    assert!(text.contains("files, the limit is 10"), "{text}");
    let limits = Limits { depth: 3, ..Limits::default() };
    let text = refusal("mkdir -p a/b/c/d", &limits);
    assert!(text.contains("deeper than 3"), "{text}");
}

fn owner() {
    let text = refusal("touch x; chown 100000 x", &Limits::default());
    assert!(text.contains("user 100000"), "{text}");
}
