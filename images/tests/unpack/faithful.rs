//! What is right on disk after an archive was unpacked.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    process::Command,
};

use sc_images::{Fingerprint, ImageFiles, Limits, Silent};
use tar::EntryType;

use crate::{
    Room, Test,
    archive::{Tar, through},
    sandboxing, unpack_unified,
};

pub(crate) const TESTS: &[Test] = &[
    ("faithful::owners_modes_and_times_are_those_of_the_archive", owners),
    ("faithful::capabilities_acls_and_attributes_are_on_disk", attributes),
    ("faithful::acls_in_text_are_on_disk", text_acls),
    ("faithful::what_nobody_may_read_or_enter_is_filled_and_finished", closed),
    ("faithful::the_owner_is_that_of_the_last_entry_for_a_path", owner_of_last),
    ("faithful::hard_links_share_an_inode", hard_links),
    ("faithful::files_with_holes_keep_them_in_every_format", holes),
    ("faithful::every_compression_is_unpacked", compressions),
    ("faithful::a_split_image_of_two_tarballs_is_unpacked", split),
    ("faithful::metadata_is_read_without_unpacking", inspected),
    ("faithful::later_entries_replace_earlier_ones", duplicates),
    ("faithful::devices_below_dev_are_left_out_with_links_to_them", devices),
    ("faithful::missing_folders_are_made", missing_folders),
    ("faithful::what_gnu_tar_packs_comes_out_the_same", gnu_tar),
];

fn unpacked(archive: Tar) -> (Room, sc_images::UnpackedImage) {
    let room = Room::new();
    let path = room.file("image", &archive.done());
    let image = unpack_unified(&room, &path).unwrap();
    room.assert_witness(&["image"]);
    (room, image)
}

fn output(program: &str, args: &[&str], path: &Path) -> String {
    let output = Command::new(program).args(args).arg(path).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn owners() {
    let entry = |kind, name: &str, uid, gid, mode| {
        let mut header = Tar::header(kind, name, "", 0);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mode(mode);
        header
    };
    let (room, image) = unpacked(
        Tar::unified()
            .raw(entry(EntryType::Directory, "rootfs/", 5, 6, 0o711), b"")
            .raw(entry(EntryType::Directory, "rootfs/spool", 33, 8, 0o2775), b"")
            .raw(entry(EntryType::Regular, "rootfs/spool/su", 1000, 65534, 0o6755), b"")
            .raw(entry(EntryType::Fifo, "rootfs/spool/fifo", 1, 2, 0o620), b"")
            .raw(entry(EntryType::Directory, "rootfs/tmp", 0, 0, 0o1777), b""),
    );
    let stat = |name: &str| {
        let stat = fs::symlink_metadata(room.target().join(name)).unwrap();
        (stat.uid(), stat.gid(), stat.mode() & 0o7777, stat.mtime())
    };
    assert_eq!(stat(""), (5, 6, 0o711, 1_700_000_000));
    assert_eq!(stat("spool"), (33, 8, 0o2775, 1_700_000_000));
    assert_eq!(stat("spool/su"), (1000, 65534, 0o6755, 1_700_000_000));
    assert_eq!(stat("spool/fifo"), (1, 2, 0o620, 1_700_000_000));
    assert!(fs::symlink_metadata(room.target().join("spool/fifo")).unwrap().file_type().is_fifo());
    assert_eq!(stat("tmp"), (0, 0, 0o1777, 1_700_000_000));
    assert_eq!(image.metadata.architecture, "x86_64");
    assert_eq!(image.templates["h.tpl"], "{{ container.name }}\n");
    assert_eq!(image.stats.files, 5 + 1);
}

const CAP_NET_RAW: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// user::rwx user:10:r-x group::r-x mask::r-x other::---; id 10 is a newline in the binary value.
fn acl() -> Vec<u8> {
    let mut value = vec![2, 0, 0, 0];
    let none = u32::MAX;
    for (tag, bits, id) in
        [(1u16, 7u16, none), (2, 5, 10), (4, 5, none), (16, 5, none), (32, 0, none)]
    {
        value.extend(tag.to_le_bytes());
        value.extend(bits.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

fn attributes() {
    let mut header = Tar::header(EntryType::Regular, "rootfs/ping", "", 2);
    header.set_mode(0o750);
    let (room, image) = unpacked(
        Tar::unified()
            .pax(&[
                ("SCHILY.xattr.security.capability", CAP_NET_RAW),
                ("SCHILY.xattr.system.posix_acl_access", &acl()),
                ("SCHILY.xattr.user.note", b"a\nb"),
                ("SCHILY.xattr.security.selinux", b"label"),
            ])
            .raw(header, b"hi")
            .pax(&[("SCHILY.xattr.system.posix_acl_default", &acl())])
            .folder("rootfs/shared/")
            .file("rootfs/shared/x", b""),
    );
    let ping = room.target().join("ping");
    assert!(output("getcap", &[], &ping).contains("cap_net_raw=ep"));
    let acl = output("getfacl", &["-n", "-p", "-c"], &ping);
    assert!(acl.contains("user:10:r-x"), "{acl}");
    let note = output("getfattr", &["--only-values", "-n", "user.note"], &ping);
    assert_eq!(note, "a\nb");
    assert_eq!(image.stats.dropped_xattrs, 1);
    let acl = output("getfacl", &["-n", "-p", "-c"], &room.target().join("shared"));
    assert!(acl.contains("default:user:10:r-x"), "{acl}");
    // The default was set last: what the archive has in the folder does not inherit it.
    let acl = output("getfacl", &["-n", "-p", "-c"], &room.target().join("shared/x"));
    assert!(!acl.contains("user:10"), "{acl}");
}

fn closed() {
    let entry = |kind, name: &str, uid, mode, size| {
        let mut header = Tar::header(kind, name, "", size);
        header.set_uid(uid);
        header.set_mode(mode);
        header
    };
    let note = [("SCHILY.xattr.user.note", &b"n"[..])];
    let (room, _) = unpacked(
        Tar::unified()
            .pax(&note)
            .raw(entry(EntryType::Directory, "rootfs/shut", 0, 0, 0), b"")
            .raw(entry(EntryType::Directory, "rootfs/shut/in", 7, 0o2000, 0), b"")
            .pax(&note)
            .raw(entry(EntryType::Regular, "rootfs/shut/in/file", 0, 0, 1), b"x")
            .pax(&[
                ("SCHILY.xattr.system.posix_acl_access", &acl()),
                ("SCHILY.xattr.security.capability", CAP_NET_RAW),
                note[0],
            ])
            .raw(entry(EntryType::Regular, "rootfs/shut/in/other", 7, 0o6000, 1), b"x")
            // Again, with less: what it had it keeps, but for mode and time.
            .raw(entry(EntryType::Directory, "rootfs/shut", 0, 0o100, 0), b""),
    );
    let stat = |name: &str| {
        let stat = fs::symlink_metadata(room.target().join(name)).unwrap();
        assert_eq!(stat.mtime(), 1_700_000_000, "{name}");
        (stat.uid(), stat.mode() & 0o7777)
    };
    assert_eq!(stat("shut"), (0, 0o100));
    assert_eq!(stat("shut/in"), (7, 0o2000));
    assert_eq!(stat("shut/in/file"), (0, 0));
    // The ACL has the last word on the mode.
    assert_eq!(stat("shut/in/other"), (7, 0o6750));
    for name in ["shut", "shut/in/file", "shut/in/other"] {
        let path = room.target().join(name);
        assert_eq!(output("getfattr", &["--only-values", "-n", "user.note"], &path), "n");
    }
    let other = room.target().join("shut/in/other");
    assert!(output("getcap", &[], &other).contains("cap_net_raw=ep"));
    assert!(output("getfacl", &["-n", "-p", "-c"], &other).contains("user:10:r-x"));
}

fn owner_of_last() {
    let owned = |kind, name: &str, link: &str, uid| {
        let mut header = Tar::header(kind, name, link, 0);
        header.set_uid(uid);
        header.set_mode(0o4755);
        header
    };
    let (room, _) = unpacked(
        Tar::unified()
            .raw(owned(EntryType::Regular, "rootfs/a", "", 5), b"")
            .hard_link("rootfs/b", "rootfs/a")
            .hard_link("rootfs/c", "rootfs/b")
            .file("rootfs/a", b"")
            .raw(owned(EntryType::Symlink, "rootfs/s", "/etc", 6), b"")
            .hard_link("rootfs/t", "rootfs/s")
            .folder("rootfs/s")
            .raw(owned(EntryType::Directory, "rootfs/d", "", 7), b"")
            .symlink("rootfs/d", "a"),
    );
    let stat = |name: &str| {
        let stat = fs::symlink_metadata(room.target().join(name)).unwrap();
        (stat.uid(), stat.mode() & 0o7777)
    };
    assert_eq!((stat("a"), stat("b"), stat("c")), ((0, 0o644), (5, 0o4755), (5, 0o4755)));
    assert_eq!((stat("s"), stat("t"), stat("d")), ((0, 0o755), (6, 0o777), (0, 0o777)));
}

fn text_acls() {
    let (room, _) = unpacked(
        Tar::unified()
            .pax(&[(
                "SCHILY.acl.access",
                b"user::rw-,user:lp:r--:7,group::r--,mask::r--,other::r--",
            )])
            .file("rootfs/x", b""),
    );
    let acl = output("getfacl", &["-n", "-p", "-c"], &room.target().join("x"));
    assert!(acl.contains("user:7:r--"), "{acl}");
}

fn hard_links() {
    let (room, _) = unpacked(
        Tar::unified()
            .file("rootfs/a", b"one")
            .hard_link("rootfs/b/c", "rootfs/a")
            .symlink("rootfs/s", "/nowhere")
            .hard_link("rootfs/t", "./rootfs/s"),
    );
    let inode = |name: &str| fs::symlink_metadata(room.target().join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("b/c"));
    assert_eq!(inode("s"), inode("t"));
    assert_eq!(fs::read_link(room.target().join("t")).unwrap(), Path::new("/nowhere"));
}

fn holes() {
    let room = Room::new();
    let rootfs = room.path("src/rootfs");
    fs::create_dir_all(&rootfs).unwrap();
    fs::write(room.path("src/metadata.yaml"), crate::archive::METADATA).unwrap();
    // More pieces than a header of the old format has room for.
    let script = "cd \"$1\" && for i in 0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34 36 38 40 42 44 46 48 50 52 54 56; \
                  do printf piece$i | dd of=holes bs=64K seek=$i conv=notrunc status=none; done; \
                  truncate -s 8M holes";
    assert!(Command::new("sh").args(["-c", script, "sh"]).arg(&rootfs).status().unwrap().success());
    let want = fs::read(rootfs.join("holes")).unwrap();
    let formats: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    for (number, format) in formats.iter().enumerate() {
        let archive = room.path(&format!("{number}.tar"));
        let mut tar = Command::new("tar");
        tar.args(["-S", "-C"]).arg(room.path("src")).args(*format).arg("-cf").arg(&archive);
        assert!(tar.args(["metadata.yaml", "rootfs"]).status().unwrap().success());
        let inner = Room::new();
        unpack_unified(&inner, &archive).unwrap();
        let holes = inner.target().join("holes");
        assert!(fs::read(&holes).unwrap() == want, "{format:?}");
        assert!(fs::metadata(&holes).unwrap().blocks() * 512 < 4 << 20, "{format:?}");
    }
}

fn compressions() {
    let plain = Tar::unified().file("rootfs/x", &[b'x'; 100_000]).done();
    let programs: [&[&str]; 5] =
        [&["cat"], &["gzip", "-c"], &["xz", "-c", "-T2"], &["zstd", "-q", "-c"], &["bzip2", "-c"]];
    for program in programs {
        let room = Room::new();
        let path = room.file("image", &through(program, &plain));
        unpack_unified(&room, &path).unwrap_or_else(|error| panic!("{program:?}: {error}"));
        assert_eq!(fs::metadata(room.target().join("x")).unwrap().len(), 100_000);
        let output = output("sha256sum", &[], &path);
        let fingerprint = Fingerprint::of_files(&[&path], &Silent).unwrap();
        assert_eq!(output.split(' ').next(), Some(fingerprint.as_str()));
    }
}

fn split_files(room: &Room, rootfs: &[u8]) -> ImageFiles {
    let metadata = Tar::default()
        .file("metadata.yaml", crate::archive::METADATA.as_bytes())
        .file("templates/h.tpl", b"x");
    ImageFiles {
        metadata: room.file("meta", &through(&["xz", "-c"], &metadata.done())),
        rootfs: Some(room.file("rootfs", rootfs)),
    }
}

fn split() {
    let room = Room::new();
    let rootfs = Tar::default().folder("./").folder("./etc/").file("./etc/x", b"hello").done();
    let files = split_files(&room, &through(&["gzip", "-c"], &rootfs));
    let image =
        sc_images::unpack(&files, &room.target(), &Limits::default(), &sandboxing(), &Silent)
            .unwrap();
    assert_eq!(fs::read_to_string(room.target().join("etc/x")).unwrap(), "hello");
    assert_eq!(image.templates["h.tpl"], "x");
    // A metadata archive with a root filesystem of its own says so.
    let files =
        ImageFiles { metadata: room.file("unified", &Tar::unified().done()), rootfs: files.rootfs };
    let error = sc_images::inspect(&files, &Limits::default(), &sandboxing(), &Silent).unwrap_err();
    assert!(error.to_string().contains("root filesystem of its own"), "{error}");
}

fn inspected() {
    let room = Room::new();
    let path =
        room.file("image", &through(&["xz", "-c"], &Tar::unified().file("rootfs/x", b"").done()));
    let files = ImageFiles { metadata: path, rootfs: None };
    let seen = sc_images::inspect(&files, &Limits::default(), &sandboxing(), &Silent).unwrap();
    assert_eq!(seen.metadata.properties["os"], "Test");
    assert_eq!((seen.metadata_format.suffix(), seen.rootfs_format), ("tar.xz", None));
    let files = split_files(&room, &Tar::default().file("x", b"").done());
    let seen = sc_images::inspect(&files, &Limits::default(), &sandboxing(), &Silent).unwrap();
    assert_eq!(seen.rootfs_format.unwrap().suffix(), "tar");
    assert_eq!(seen.templates.unwrap()["h.tpl"], "x");
    assert_eq!(fs::read_dir(room.target()).unwrap().count(), 0);
}

fn duplicates() {
    let (room, _) = unpacked(
        Tar::unified()
            .file("rootfs/a", b"old and longer")
            .file("rootfs/a", b"new")
            .symlink("rootfs/b", "/etc/passwd")
            .file("rootfs/b", b"mine")
            .folder("rootfs/c/")
            .symlink("rootfs/c", "a")
            .file("rootfs/d", b"")
            .folder("rootfs/d/")
            .file("rootfs/d/x", b"")
            .hard_link("rootfs/e", "rootfs/a")
            .file("rootfs/e", b"apart"),
    );
    let read = |name: &str| fs::read_to_string(room.target().join(name)).unwrap();
    assert_eq!((read("a"), read("b")), ("new".into(), "mine".into()));
    assert_eq!(fs::read_link(room.target().join("c")).unwrap(), Path::new("a"));
    assert_eq!(read("d/x"), "");
    assert_eq!(read("e"), "apart");
}

fn devices() {
    let (room, image) = unpacked(
        Tar::unified()
            .folder("rootfs/dev/")
            .device(EntryType::Char, "rootfs/dev/null", 1, 3)
            .device(EntryType::Block, "rootfs/dev/disk/sda", 8, 0)
            .hard_link("rootfs/dev/zilch", "rootfs/dev/null")
            .symlink("rootfs/dev/fd", "/proc/self/fd"),
    );
    assert_eq!(image.stats.dropped_devices, 2);
    let names: Vec<_> = fs::read_dir(room.target().join("dev")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

fn missing_folders() {
    let (room, _) = unpacked(Tar::unified().file("rootfs/a/b/c", b"x"));
    let stat = fs::metadata(room.target().join("a/b")).unwrap();
    assert_eq!((stat.uid(), stat.mode() & 0o7777), (0, 0o755));
}

fn gnu_tar() {
    let room = Room::new();
    let rootfs = room.path("src/rootfs");
    fs::create_dir_all(&rootfs).unwrap();
    fs::write(room.path("src/metadata.yaml"), crate::archive::METADATA).unwrap();
    let long = "n".repeat(200);
    let script = format!(
        "cd \"$1\" && mkdir -p deep/{long}/{long} && echo hi > deep/{long}/{long}/f && \
         ln -s {long}/{long}/{long} deep/l && cp /bin/true ping && chown 7:8 ping && \
         chmod 4755 ping && setcap cap_net_raw+ep ping && setfacl -m u:1234:rw deep && mkfifo p && \
         touch -d '1969-12-31 23:59:58.5 UTC' old && ln ping pong"
    );
    assert!(
        Command::new("sh").args(["-c", &script, "sh"]).arg(&rootfs).status().unwrap().success()
    );
    for format in ["gnu", "posix"] {
        let archive = room.path(&format!("{format}.tar"));
        let mut tar = Command::new("tar");
        tar.args(["--xattrs", "--xattrs-include=*", "--acls", "-C"]).arg(room.path("src"));
        tar.arg(format!("--format={format}")).arg("-cf").arg(&archive);
        // Attributes make it posix anyway.
        if format == "gnu" {
            tar = Command::new("tar");
            tar.arg("-C").arg(room.path("src")).args(["--format=gnu", "-cf"]).arg(&archive);
        }
        assert!(tar.args(["metadata.yaml", "rootfs"]).status().unwrap().success());
        let inner = Room::new();
        unpack_unified(&inner, &archive).unwrap();
        let list = |dir: &Path| {
            let script = "cd \"$1\" && find . -printf '%p %y %U:%G %m %s %l %Ts %n\\n' | sort";
            let output =
                Command::new("sh").args(["-c", script, "sh"]).arg(dir).output().unwrap().stdout;
            // Sizes of folders are the filesystem's business.
            String::from_utf8(output).unwrap().replace(" 4096 ", " ")
        };
        assert_eq!(list(&inner.target()), list(&rootfs), "{format}");
        if format == "posix" {
            assert!(output("getcap", &[], &inner.target().join("ping")).contains("cap_net_raw"));
            let acl = output("getfacl", &["-n", "-p", "-c"], &inner.target().join("deep"));
            assert!(acl.contains("user:1234:rw-"), "{acl}");
            let nanos = fs::metadata(inner.target().join("old")).unwrap().mtime_nsec();
            assert_eq!(nanos, 500_000_000);
        }
    }
}
