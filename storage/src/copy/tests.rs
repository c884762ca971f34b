use super::*;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, lgetxattr, lsetxattr,
    mknodat, utimensat,
};

use crate::progress::no_progress;

/// A version 2 file capability: cap_net_raw, permitted and effective.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not root: nothing tested");
    }
    root
}

/// An ACL as the kernel writes it: owner, user 1000, group, mask, others.
fn acl() -> Vec<u8> {
    let entry = |tag: u16, perm: u16, id: u32| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes()[..], &id.to_le_bytes()[..]].concat()
    };
    let none = u32::MAX;
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1, 7, none), (2, 6, 1000), (4, 5, none), (0x10, 7, none), (0x20, 4, none)]
    {
        acl.extend(entry(tag, perm, id));
    }
    acl
}

fn set_times(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn copy(from: &Path, to: &Path) -> Result<Report> {
    fs::create_dir(to).unwrap();
    copy_tree(open(from), open(to), to, None, &no_progress)
}

/// What can be seen of a tree: path, then type, mode, owner, size, times, links.
fn listing(top: &Path) -> Vec<String> {
    fn walk(top: &Path, at: &Path, out: &mut Vec<String>) {
        let path = top.join(at);
        let stat = fs::symlink_metadata(&path).unwrap();
        let size = if stat.is_dir() { 0 } else { stat.len() };
        let target = fs::read_link(&path).unwrap_or_default();
        out.push(format!(
            "{} {:o} {}:{} {size} {}.{} {} {:?}",
            at.display(),
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.mtime(),
            stat.mtime_nsec(),
            if stat.is_dir() { 0 } else { stat.nlink() },
            target,
        ));
        if stat.is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                walk(top, &at.join(entry.unwrap().file_name()), out);
            }
        }
    }
    let mut out = Vec::new();
    walk(top, Path::new(""), &mut out);
    out.sort();
    out
}

/// A tree with one of everything that has to survive.
fn one_of_everything(top: &Path) {
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::write(top.join("a/plain"), "content").unwrap();
    fs::write(top.join("a/empty"), "").unwrap();
    fs::write(top.join("a/large"), vec![7_u8; 3 << 20]).unwrap();
    fs::write(top.join("a/setuid"), "#!").unwrap();
    std::os::unix::fs::chown(top.join("a/setuid"), Some(33), Some(1000)).unwrap();
    fs::set_permissions(top.join("a/setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::write(top.join("capable"), "x").unwrap();
    std::os::unix::fs::chown(top.join("capable"), Some(1), Some(2)).unwrap();
    let flags = XattrFlags::empty();
    lsetxattr(top.join("capable"), "security.capability", &CAPABILITY, flags).unwrap();
    lsetxattr(top.join("a/plain"), "user.note", b"a note", flags).unwrap();
    lsetxattr(top.join("a/plain"), "trusted.note", b"", flags).unwrap();
    lsetxattr(top.join("a/large"), "system.posix_acl_access", &acl(), flags).unwrap();
    lsetxattr(top.join("a/b"), "system.posix_acl_default", &acl(), flags).unwrap();
    fs::write(top.join("a/b/inherits-nothing"), "").unwrap();
    rustix::fs::removexattr(top.join("a/b/inherits-nothing"), "system.posix_acl_access").unwrap();
    fs::hard_link(top.join("a/plain"), top.join("a/b/second-name")).unwrap();
    fs::hard_link(top.join("a/plain"), top.join("third-name")).unwrap();
    symlink("/etc/passwd", top.join("link")).unwrap();
    symlink("nowhere", top.join("a/dangling")).unwrap();
    std::os::unix::fs::lchown(top.join("link"), Some(5), Some(6)).unwrap();
    lsetxattr(top.join("link"), "trusted.on-link", b"1", flags).unwrap();
    mknodat(CWD, top.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    mknodat(CWD, top.join("socket"), FileType::Socket, Mode::from_raw_mode(0o755), 0).unwrap();
    mknodat(CWD, top.join("whiteout"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    fs::create_dir(top.join("closed")).unwrap();
    fs::write(top.join("closed/in"), "x").unwrap();
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o1000)).unwrap();
    rustix::fs::chownat(
        CWD,
        top.join("closed"),
        Some(Uid::from_raw(9)),
        Some(Gid::from_raw(8)),
        AtFlags::empty(),
    )
    .unwrap();
    for (number, path) in ["a/plain", "link", "pipe", "a/b", "a", "closed", ""].iter().enumerate() {
        set_times(&top.join(path), 1_000_000_000 + number as i64, 123_456_789);
    }
}

#[test]
fn everything_of_a_tree_survives_a_copy() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    one_of_everything(&from);
    copy(&from, &to).unwrap();
    assert_eq!(listing(&from), listing(&to));
    assert_eq!(fs::read(to.join("a/large")).unwrap(), vec![7_u8; 3 << 20]);
    for (path, name, expected) in [
        ("capable", "security.capability", &CAPABILITY[..]),
        ("third-name", "user.note", b"a note"),
        ("third-name", "trusted.note", b""),
        ("link", "trusted.on-link", b"1"),
        ("a/large", "system.posix_acl_access", &acl()),
        ("a/b", "system.posix_acl_default", &acl()),
    ] {
        let mut value = [0; 100];
        let length = lgetxattr(to.join(path), name, &mut value[..]).unwrap();
        assert_eq!(&value[..length], expected, "{name} of {path}");
    }
    let inherited =
        lgetxattr(to.join("a/b/inherits-nothing"), "system.posix_acl_access", &mut [0; 100][..]);
    assert_eq!(inherited, Err(Errno::NODATA));
    let inode = |path: &str| fs::metadata(to.join(path)).unwrap().ino();
    assert_eq!(inode("a/plain"), inode("a/b/second-name"));
    assert_eq!(inode("a/plain"), inode("third-name"));
}

#[test]
fn holes_stay_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let file = File::create(from.join("sparse")).unwrap();
    file.write_at(b"begin", 0).unwrap();
    file.write_at(b"middle", 64 << 20).unwrap();
    file.set_len(1 << 30).unwrap();
    let report = copy(&from, &to).unwrap();
    let copied = fs::metadata(to.join("sparse")).unwrap();
    assert_eq!(copied.len(), 1 << 30);
    assert!(copied.blocks() * 512 < 1 << 20, "{} blocks", copied.blocks());
    assert!(report.bytes < 1 << 20);
    let mut middle = [0; 6];
    File::open(to.join("sparse")).unwrap().read_at(&mut middle, 64 << 20).unwrap();
    assert_eq!(&middle, b"middle");
}

#[test]
fn devices_are_left_out_and_counted() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let null = rustix::fs::makedev(1, 3);
    mknodat(CWD, from.join("null"), FileType::CharacterDevice, Mode::empty(), null).unwrap();
    mknodat(CWD, from.join("disk"), FileType::BlockDevice, Mode::empty(), null).unwrap();
    assert_eq!(copy(&from, &to).unwrap().devices, 2);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
}

#[test]
fn a_tree_deeper_than_any_path_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let mut at = open(&from);
    let name = "a-name-of-some-length";
    for _ in 0..400 {
        rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, name, folder::DIRECTORY, Mode::empty()).unwrap();
    }
    assert_eq!(copy(&from, &to).unwrap().entries, 400);
    for path in [from, to] {
        crate::remove::empty(open(&path)).unwrap();
    }
}

#[test]
fn a_cancelled_copy_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("file"), "content").unwrap();
    let sink = |_| ControlFlow::Break(());
    let result = copy_tree(open(&from), open(&to), &to, None, &sink);
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
}

#[test]
fn a_panic_in_one_thread_ends_the_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for folder in 0..20 {
        fs::create_dir_all(from.join(format!("{folder}/below"))).unwrap();
    }
    fs::create_dir(&to).unwrap();
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let sink = |_| panic!("the sink's");
        let copied =
            std::panic::catch_unwind(|| copy_tree(open(&from), open(&to), &to, None, &sink));
        done.send(copied.is_err()).unwrap();
    });
    assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(true), "the panic comes through");
}
