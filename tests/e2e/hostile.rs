//! Archives that mean harm are refused with a clear sentence, and leave nothing.

use std::path::PathBuf;
use std::time::Duration;

use sc_tests::guests::archive::Tar;
use sc_tests::guests::{Busybox, stock_tar};
use sc_tests::{Daemon, HostSnapshot, Ran, report, until};
use tar::EntryType;

/// What is hostile, the archive, and a part of the refusal.
type Hostile = (&'static str, Vec<u8>, &'static str);

fn sparse_bomb() -> Vec<u8> {
    let mut header = Tar::header(EntryType::GNUSparse, "rootfs/bomb", "", 0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 50);
    gnu.sparse[0].set_offset(1 << 50);
    gnu.sparse[0].set_length(0);
    Tar::unified().raw(header, b"").done()
}

fn owner_beyond() -> Vec<u8> {
    let mut header = Tar::header(EntryType::Regular, "rootfs/file", "", 0);
    header.set_uid(1_000_000);
    Tar::unified().raw(header, b"").done()
}

fn hostile() -> Vec<Hostile> {
    let tar = Tar::unified;
    let evil = "/var/tmp/sc-evil";
    vec![
        ("an absolute path", tar().file(evil, b"x").done(), "absolute"),
        ("a path upwards", tar().file("rootfs/../../../evil", b"x").done(), "\"..\""),
        (
            "a path through a symbolic link",
            tar().symlink("rootfs/out", "/var/tmp").file("rootfs/out/sc-evil", b"x").done(),
            "symbolic link",
        ),
        ("a hard link out", tar().hard_link("rootfs/shadow", "/etc/shadow").done(), "/etc/shadow"),
        (
            "a device outside dev/",
            tar().device(EntryType::Block, "rootfs/etc/sda", (8, 0)).done(),
            "device",
        ),
        ("a whiteout", tar().device(EntryType::Char, "rootfs/etc/passwd", (0, 0)).done(), "device"),
        (
            "an overlay attribute",
            tar().pax("SCHILY.xattr.trusted.overlay.opaque", "y").folder("rootfs/etc/").done(),
            "overlay",
        ),
        ("a sparse bomb", sparse_bomb(), "claims"),
        ("an owner beyond the range", owner_beyond(), "1000000"),
        (
            "a cut-off archive",
            tar().file("rootfs/a", &[7; 5000]).open_end()[..2500].into(),
            "cut off",
        ),
        ("no root filesystem", Tar::default().file("metadata.yaml", b"x").done(), "metadata.yaml"),
        (
            "metadata that is a link",
            Tar::default().symlink("metadata.yaml", "/etc/shadow").folder("rootfs/").done(),
            "metadata.yaml",
        ),
    ]
}

fn import(daemon: &Daemon, archive: &[u8]) -> Ran {
    let path = daemon.scratch().join("image.tar");
    std::fs::write(&path, archive).unwrap();
    daemon.sc(&["image", "import", &path.display().to_string(), "--alias", "bad"])
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let daemon = Busybox::daemon();
    let before = HostSnapshot::of(&daemon.dir());
    for (what, archive, part) in hostile() {
        let refused = import(&daemon, &archive);
        refused.refused(part);
        let told = refused.stderr.lines().last().unwrap_or_default();
        report("hostile archives", &format!("{what}: {told}"));
        let images = daemon.sc(&["image", "list", "-f", "csv"]).ok().lines().count();
        assert_eq!(images, 1, "{what} is no image");
        until(&format!("{what} leaves nothing"), Duration::from_secs(20), &Vec::new(), || {
            HostSnapshot::of(&daemon.dir()).more_than(&before)
        });
        assert!(!PathBuf::from("/var/tmp/sc-evil").exists(), "{what}");
    }
}

#[test]
fn a_stock_mmdebstrap_tarball_is_imported_and_boots() {
    let daemon = Daemon::start();
    let (metadata, rootfs) = stock_tar();
    let files = [metadata, rootfs].map(|path| path.display().to_string());
    daemon.sc(&["image", "import", &files[0], &files[1], "--alias", "stock"]).ok();
    daemon.sc(&["launch", "stock", "c1"]).ok();
    assert!(daemon.inside("c1", "cat /etc/debian_version").starts_with("12"));
    assert_eq!(daemon.inside("c1", "stat -c %U:%a /etc/shadow"), "root:640");
}

#[test]
fn while_an_archive_is_unpacked_the_unpacker_is_nobody_without_capabilities() {
    let daemon = Daemon::start();
    // Enough files that the unpacker can be looked at.
    let archive = (0..40_000).fold(Tar::unified(), |tar, n| tar.file(&format!("rootfs/{n}"), b"x"));
    let path = daemon.scratch().join("image.tar");
    std::fs::write(&path, archive.done()).unwrap();
    let path = path.display().to_string();
    let mut import = daemon.command(&["image", "import", &path]).spawn().unwrap();
    let mut seen = None;
    while import.try_wait().unwrap().is_none() {
        // The last look counts: at first it is still giving up what it needed for its own making.
        seen = unpacker(&daemon).or(seen);
    }
    let Seen { uid_map, status, watcher } = seen.expect("an unpacker was seen");
    let uid_map = uid_map.split_whitespace().collect::<Vec<_>>().join(" ");
    report("unpacker", &format!("uid_map: {uid_map}"));
    for name in SHOWN.iter().chain(&CAPABILITIES) {
        report("unpacker", &format!("{name} {}", field(&status, name)));
    }
    let [inside, outside, count] = uid_map.split(' ').collect::<Vec<_>>()[..] else {
        panic!("one range, and no root of the host in it: {uid_map}")
    };
    assert_eq!((inside, count), ("0", "65536"), "{uid_map}");
    assert_ne!(outside, "0");
    // Neither it nor the one that watches over it.
    for status in [&status, &watcher] {
        assert_eq!(field(status, "Uid:"), [outside; 4].join(" "), "nobody on the host");
        assert_eq!(field(status, "NoNewPrivs:"), "1");
        for name in CAPABILITIES {
            assert_eq!(field(status, name), "0000000000000000", "{name} {status}");
        }
    }
}

const SHOWN: [&str; 4] = ["Uid:", "Gid:", "NoNewPrivs:", "Seccomp:"];
const CAPABILITIES: [&str; 5] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The process that unpacks for a daemon, as the host sees it, and its parent.
struct Seen {
    uid_map: String,
    status: String,
    watcher: String,
}

fn unpacker(daemon: &Daemon) -> Option<Seen> {
    let own = std::fs::read_link(format!("/proc/{}/ns/user", daemon.pid())).ok()?;
    let children = format!("/proc/{0}/task", daemon.pid());
    let mut pids = Vec::new();
    for task in std::fs::read_dir(children).ok()?.flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        pids.extend(text.split_whitespace().map(str::to_owned));
    }
    let mut below = Vec::new();
    for pid in &pids {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        below.extend(text.split_whitespace().map(str::to_owned));
    }
    pids.extend(below);
    pids.iter().find_map(|pid| {
        let namespace = std::fs::read_link(format!("/proc/{pid}/ns/user")).ok()?;
        let uid_map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = field(&status, "PPid:");
        let watcher = std::fs::read_to_string(format!("/proc/{parent}/status")).ok()?;
        (namespace != own && !uid_map.is_empty()).then_some(Seen { uid_map, status, watcher })
    })
}
