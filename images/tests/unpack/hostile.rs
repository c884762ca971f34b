//! Archives that must be refused, each with its own clear error and without harm to anything.

use sc_images::{Error, ErrorKind, ImageFiles, Limits, Silent};
use tar::EntryType;

use crate::{
    Room, Test,
    archive::{Tar, through},
    sandboxing, unpack_unified, unpack_with,
};

pub(crate) const TESTS: &[Test] = &[
    ("hostile::an_absolute_path_is_refused", absolute_path),
    ("hostile::a_path_that_leads_upwards_is_refused", upwards),
    ("hostile::a_path_through_a_symbolic_link_is_refused", through_symlink),
    ("hostile::a_hard_link_out_of_the_rootfs_is_refused", hard_link_out),
    ("hostile::a_hard_link_to_the_metadata_is_refused", hard_link_to_metadata),
    ("hostile::a_hard_link_through_a_symbolic_link_is_refused", hard_link_through_symlink),
    ("hostile::a_device_outside_dev_is_refused", device_outside_dev),
    ("hostile::a_whiteout_is_refused_even_below_dev", whiteout),
    ("hostile::overlay_attributes_are_refused", overlay_attributes),
    ("hostile::a_sparse_bomb_is_refused", sparse_bomb),
    ("hostile::a_pax_sparse_bomb_is_refused", pax_sparse_bomb),
    ("hostile::a_size_bomb_is_refused", size_bomb),
    ("hostile::too_many_files_are_refused", too_many_files),
    ("hostile::a_path_that_is_too_deep_is_refused", too_deep),
    ("hostile::a_path_of_thousands_of_folders_is_shown_short", thousands_of_folders),
    ("hostile::a_cut_off_archive_is_refused_wherever_it_ends", cut_off),
    ("hostile::a_cut_off_compressed_archive_is_refused", cut_off_compressed),
    ("hostile::a_file_where_a_folder_is_needed_is_refused", file_for_folder),
    ("hostile::an_image_without_rootfs_is_refused", no_rootfs),
    ("hostile::an_image_without_metadata_is_refused", no_metadata),
    ("hostile::metadata_that_is_a_link_is_refused", metadata_link),
    ("hostile::empty_templates_without_number_are_refused", empty_templates),
    ("hostile::an_owner_beyond_the_range_is_refused", owner_beyond),
    ("hostile::owners_of_too_many_files_are_refused", too_many_owners),
    ("hostile::a_capability_that_is_none_is_refused", no_capability),
    ("hostile::a_huge_extension_header_is_refused", huge_header),
    ("hostile::an_unknown_entry_type_is_refused", unknown_type),
    ("hostile::a_damaged_header_is_refused", damaged_header),
    ("hostile::a_file_of_another_format_is_refused_by_name", other_format),
    ("hostile::a_target_that_is_not_empty_is_refused", target_not_empty),
];

/// Unpacks and expects a refusal of the image; returns its text.
fn refusal(archive: &[u8]) -> String {
    refusal_with(archive, &Limits::default())
}

fn refusal_with(archive: &[u8], limits: &Limits) -> String {
    let text = refusal_later(archive, limits);
    assert!(text.starts_with("unpack image: "), "{text}");
    text
}

/// One that may come from the second step, when files get their owners.
fn refusal_later(archive: &[u8], limits: &Limits) -> String {
    let room = Room::new();
    let path = room.file("image", archive);
    let error = unpack_with(&room, &path, limits, &Silent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    room.assert_witness(&["image"]);
    println!("{error}");
    error.to_string()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

fn absolute_path() {
    let text = refusal(&Tar::unified().file("/var/tmp/sc-evil", b"x").done());
    assert_says(&text, &["absolute", "\"/var/tmp/sc-evil\""]);
    assert!(!std::path::Path::new("/var/tmp/sc-evil").exists());
}

fn upwards() {
    let text = refusal(&Tar::unified().file("rootfs/../../witness", b"x").done());
    assert_says(&text, &["\"..\"", "rootfs/../../witness"]);
}

fn through_symlink() {
    for to in ["/", "..", "/var/tmp", "etc"] {
        let archive = Tar::unified()
            .folder("rootfs/etc/")
            .symlink("rootfs/out", to)
            .file("rootfs/out/evil", b"x");
        assert_says(&refusal(&archive.done()), &["symbolic link", "\"rootfs/out/evil\""]);
    }
}

fn hard_link_out() {
    let text = refusal(&Tar::unified().hard_link("rootfs/shadow", "/etc/shadow").done());
    assert_says(&text, &["hard link to \"/etc/shadow\"", "absolute", "\"rootfs/shadow\""]);
    let text = refusal(&Tar::unified().hard_link("rootfs/x", "rootfs/../../witness").done());
    assert_says(&text, &["hard link to \"rootfs/../../witness\"", "\"..\""]);
}

fn hard_link_to_metadata() {
    let text = refusal(&Tar::unified().hard_link("rootfs/x", "metadata.yaml").done());
    assert_says(&text, &["hard link to \"metadata.yaml\"", "out of the root filesystem"]);
}

fn hard_link_through_symlink() {
    let archive =
        Tar::unified().symlink("rootfs/out", "/").hard_link("rootfs/x", "rootfs/out/usr/bin/true");
    assert_says(&refusal(&archive.done()), &["symbolic link", "\"rootfs/x\""]);
}

fn device_outside_dev() {
    for name in ["rootfs/sda", "rootfs/etc/dev/sda", "rootfs/dev"] {
        let text = refusal(&Tar::unified().device(EntryType::Block, name, 8, 0).done());
        assert_says(&text, &["device node outside dev/", name]);
    }
}

fn whiteout() {
    for name in ["rootfs/etc/gone", "rootfs/dev/gone"] {
        let text = refusal(&Tar::unified().device(EntryType::Char, name, 0, 0).done());
        assert_says(&text, &["character device 0:0", name]);
    }
}

fn overlay_attributes() {
    for name in ["trusted.overlay.opaque", "user.overlay.redirect"] {
        let archive =
            Tar::unified().pax(&[(&format!("SCHILY.xattr.{name}"), b"y")]).folder("rootfs/etc/");
        assert_says(&refusal(&archive.done()), &[name, "overlayfs", "\"rootfs/etc/\""]);
    }
    let archive =
        Tar::unified().pax(&[("SCHILY.xattr.trusted.overlay.x", b"y")]).symlink("rootfs/l", "x");
    assert_says(&refusal(&archive.done()), &["trusted.overlay.x"]);
}

fn sparse_bomb() {
    let mut header = Tar::header(EntryType::GNUSparse, "rootfs/bomb", "", 0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 45);
    gnu.sparse[0].set_offset(1 << 45);
    gnu.sparse[0].set_length(0);
    let text = refusal(&Tar::unified().raw(header, b"").done());
    assert_says(&text, &["claims 35184372088832 bytes", "\"rootfs/bomb\""]);
}

fn pax_sparse_bomb() {
    let archive = Tar::unified()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"rootfs/bomb"),
            ("GNU.sparse.realsize", b"35184372088832"),
        ])
        .file("rootfs/GNUSparseFile.0/bomb", b"0\n");
    // The data of the map is a whole block in real archives; here it is short and refused, too.
    let text = refusal(&archive.done());
    assert_says(&text, &["sparse map"]);
    let mut map = b"0\n".to_vec();
    map.resize(512, 0);
    let archive = Tar::unified()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.name", b"rootfs/bomb"),
            ("GNU.sparse.realsize", b"35184372088832"),
        ])
        .file("rootfs/GNUSparseFile.0/bomb", &map);
    assert_says(&refusal(&archive.done()), &["claims 35184372088832 bytes", "\"rootfs/bomb\""]);
}

fn size_bomb() {
    let zeros = vec![0; 8 << 20];
    let archive = (0..8).fold(Tar::unified(), |tar, n| tar.file(&format!("rootfs/{n}"), &zeros));
    let bomb = through(&["zstd", "-q", "-c"], &archive.done());
    assert!(bomb.len() < 100_000);
    let limits = Limits { total_bytes: 20 << 20, ..Limits::default() };
    let text = refusal_with(&bomb, &limits);
    assert_says(&text, &["more than 20971520 bytes together", "\"rootfs/2\""]);
    let limits = Limits { file_bytes: 1 << 20, ..Limits::default() };
    assert_says(&refusal_with(&bomb, &limits), &["claims 8388608 bytes", "may have 1048576"]);
}

fn too_many_files() {
    let archive = (0..100).fold(Tar::unified(), |tar, n| tar.file(&format!("rootfs/{n}"), b""));
    let limits = Limits { files: 50, ..Limits::default() };
    assert_says(&refusal_with(&archive.done(), &limits), &["more than 50 files"]);
}

fn thousands_of_folders() {
    let name = format!("rootfs/{}\x1b[2Jend", "f/".repeat(3000));
    let long = Tar::header(EntryType::GNULongName, "././@LongLink", "", name.len() as u64);
    let archive = Tar::unified().raw(long, name.as_bytes()).file("rootfs/f", b"x");
    let text = refusal(&archive.done());
    assert_says(&text, &["deeper than 128", "(entry \"rootfs/f/f/", "…", "[2Jend\")"]);
    assert!(text.len() < 400 && !text.contains('\x1b'), "{text}");
}

fn too_deep() {
    let path = format!("rootfs/{}", "a/".repeat(40));
    let limits = Limits { depth: 32, ..Limits::default() };
    let text = refusal_with(&Tar::unified().folder(&path).done(), &limits);
    assert_says(&text, &["deeper than 32 folders"]);
}

fn cut_off() {
    let whole = Tar::unified().file("rootfs/a", &[7; 5000]).file("rootfs/b", b"x").open_end();
    for length in [512, whole.len() - 100, whole.len() - 512, whole.len() - 1024, whole.len()] {
        let text = refusal(&whole[..length]);
        assert_says(&text, &["cut off"]);
    }
}

fn cut_off_compressed() {
    // Bytes that do not compress, so that half of the file is half of the archive.
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(1 << 20)
    .collect();
    let whole = Tar::unified().file("rootfs/noise", &noise).done();
    for program in [&["gzip", "-c"][..], &["xz", "-c"], &["zstd", "-q", "-c"], &["bzip2", "-c"]] {
        let packed = through(program, &whole);
        let text = refusal(&packed[..packed.len() / 2]);
        assert!(text.contains("cut off") || text.contains("damaged"), "{program:?}: {text}");
    }
}

fn file_for_folder() {
    let archive = Tar::unified().file("rootfs/a", b"").file("rootfs/a/b", b"x");
    assert_says(&refusal(&archive.done()), &["needs a folder", "\"rootfs/a/b\""]);
    // The other way round, a folder with files in it is not thrown away for a file.
    let archive = Tar::unified().file("rootfs/a/b", b"x").file("rootfs/a", b"");
    assert_says(&refusal(&archive.done()), &["folder with files", "\"rootfs/a\""]);
}

fn no_rootfs() {
    let archive = Tar::default().file("metadata.yaml", crate::archive::METADATA.as_bytes());
    assert_says(&refusal(&archive.done()), &["no root filesystem", "rootfs/"]);
}

fn no_metadata() {
    let archive = Tar::default().folder("rootfs/").file("rootfs/x", b"");
    assert_says(&refusal(&archive.done()), &["no metadata.yaml"]);
}

fn metadata_link() {
    let archive = Tar::default().symlink("metadata.yaml", "/etc/shadow").folder("rootfs/");
    assert_says(&refusal(&archive.done()), &["not a plain file", "\"metadata.yaml\""]);
}

fn empty_templates() {
    let tail = "x".repeat(80);
    let templates = (0..52_000).fold(Tar::unified(), |archive, number| {
        archive.file(&format!("templates/{number:05}{tail}"), b"")
    });
    assert_says(&refusal(&templates.done()), &["templates have more than 4194304 bytes"]);
}

fn owner_beyond() {
    let mut header = Tar::header(EntryType::Regular, "rootfs/x", "", 0);
    header.set_uid(100_000);
    let text = refusal(&Tar::unified().raw(header, b"").done());
    assert_says(&text, &["belongs to user 100000", "below 65536", "\"rootfs/x\""]);
}

fn too_many_owners() {
    let entry = |n: u32| {
        let mut header = Tar::header(EntryType::Symlink, &format!("rootfs/{n}"), "x", 0);
        header.set_gid(5);
        header
    };
    let archive = (0..2000).fold(Tar::unified(), |tar, n| tar.raw(entry(n), b"")).done();
    let limits = Limits { owners_bytes: 100_000, ..Limits::default() };
    assert_says(&refusal_with(&archive, &limits), &["more than 100000 bytes", "not root's"]);
    // Replaced over and over they are few.
    let archive = (0..2000).fold(Tar::unified(), |tar, n| tar.raw(entry(n % 9), b"")).done();
    let room = Room::new();
    unpack_with(&room, &room.file("image", &archive), &limits, &Silent).unwrap();
}

fn no_capability() {
    for value in [&b""[..], b"abc", &[7; 20], &[1; 65], &[1; 70_000]] {
        let archive = Tar::unified()
            .pax(&[("SCHILY.xattr.security.capability", value)])
            .file("rootfs/ping", b"x");
        assert_says(
            &refusal_later(&archive.done(), &Limits::default()),
            &["security.capability", "not allowed", "ping"],
        );
    }
}

fn huge_header() {
    let header = Tar::header(EntryType::GNULongName, "././@LongLink", "", 1 << 40);
    assert_says(
        &refusal(&Tar::unified().raw(header, b"").done()),
        &["1099511627776 bytes of names"],
    );
}

fn unknown_type() {
    let header = Tar::header(EntryType::new(b'Z'), "rootfs/x", "", 0);
    assert_says(&refusal(&Tar::unified().raw(header, b"").done()), &["type ('Z')", "\"rootfs/x\""]);
}

fn damaged_header() {
    let mut archive = Tar::unified().file("rootfs/x", b"").done();
    let at = archive.len() - 1024 - 512;
    archive[at + 10] ^= 1;
    assert_says(&refusal(&archive), &["wrong checksum"]);
}

fn other_format() {
    assert_says(&refusal(b"QFI\xfbxxxx"), &["qcow2"]);
    assert_says(&refusal(b""), &["empty"]);
    assert_says(&refusal(b"hsqs"), &["metadata tarball first"]);
}

fn target_not_empty() {
    let room = Room::new();
    std::fs::write(room.target().join("x"), "").unwrap();
    let path = room.file("image", &Tar::unified().done());
    let error = unpack_unified(&room, &path).unwrap_err();
    assert!(matches!(error, Error::Io { what: "unpack into", .. }), "{error:?}");
    // A link to a folder is no folder.
    std::os::unix::fs::symlink("/var/tmp", room.path("link")).unwrap();
    let files = ImageFiles { metadata: path, rootfs: None };
    let target = room.path("link");
    let unpacked = sc_images::unpack(&files, &target, &Limits::default(), &sandboxing(), &Silent);
    assert!(unpacked.is_err());
}
