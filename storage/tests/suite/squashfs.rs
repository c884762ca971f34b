//! Images that are launched from the squashfs file they came as.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use sc_api::ErrorKind;
use sc_storage::{Attached, DriverKind, ImageForm, Imported, LayerTree, Root};

use crate::support::{Mounted, Pool, fill, fingerprint, root};

/// Packs the usual image beside a pool.
fn packed(pool: &Pool) -> PathBuf {
    let (tree, file) = (pool.beside().join("tree"), pool.beside().join("image.squashfs"));
    fs::create_dir(&tree).unwrap();
    fill(&tree).unwrap();
    let status = Command::new("mksquashfs")
        .args([&tree, &file])
        .args(["-comp", "zstd", "-quiet", "-no-progress"])
        .status()
        .unwrap();
    assert!(status.success());
    fs::remove_dir_all(tree).unwrap();
    file
}

fn loop_devices_of(file: &str) -> usize {
    let devices = fs::read_dir("/sys/block").unwrap();
    devices
        .filter_map(|device| {
            fs::read_to_string(device.unwrap().path().join("loop/backing_file")).ok()
        })
        .filter(|backing| backing.contains(file))
        .count()
}

#[test]
fn a_packed_image_is_launched_then_converted_under_its_guests() {
    if !root() {
        return;
    }
    let (pool, image) = (Pool::new(DriverKind::Overlay), fingerprint(1));
    let file = packed(&pool);
    assert_eq!(pool.driver.attach_squashfs(&image, &file).unwrap(), Attached::Ready);
    // The pool has the file itself: the image store's may go.
    fs::remove_file(file).unwrap();
    assert_eq!(pool.driver.has_image(&image).unwrap(), Some(ImageForm::Squashfs));

    let (one, two) = (pool.create("one", &image), pool.create("two", &image));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let first = Mounted::new(&*pool.driver, &one);
    let second = Mounted::new(&*pool.driver, &two);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
    let folder = pool.path.to_str().unwrap();
    assert_eq!(loop_devices_of(folder), 1, "one device serves every mount");
    assert_eq!(fs::metadata(first.path(".")).unwrap().mode() & 0o7777, 0o751);
    assert_eq!(fs::metadata(first.path("srv/www")).unwrap().uid() & 0xffff, 33);
    first.as_root(|guest| fs::write(guest.path("etc/hostname"), "one\n").unwrap());

    pool.driver.convert_image(&image, &mut |root| fill(root)).unwrap();
    assert_eq!(pool.driver.has_image(&image).unwrap(), Some(ImageForm::Directory));
    // Guests of the packed form run on.
    assert_eq!(second.read("etc/hostname"), "image\n");
    second.as_root(|guest| fs::rename(guest.path("srv"), guest.path("data")).unwrap());
    assert_eq!(second.read("data/www/index"), "hello");
    drop((first, second));

    // From their next start on they have the directory, and what they wrote.
    let first = pool.driver.plan(&one).unwrap();
    let Root::Overlay { lowers, .. } = &first.root else { panic!("{first:?}") };
    assert!(matches!(lowers[..], [LayerTree::Path(_)]), "{lowers:?}");
    drop(first);
    assert_eq!(Mounted::new(&*pool.driver, &one).read("etc/hostname"), "one\n");
    assert_eq!(Mounted::new(&*pool.driver, &two).read("data/www/index"), "hello");
    assert_eq!(loop_devices_of(folder), 0);
}

#[test]
fn volumes_are_made_and_planned_while_their_image_is_converted() {
    if !root() {
        return;
    }
    let pool = Pool::new(DriverKind::Overlay);
    let file = packed(&pool);
    for number in 0..20 {
        let image = fingerprint(number);
        pool.driver.attach_squashfs(&image, &file).unwrap();
        let old = pool.create(&format!("old-{number}"), &image);
        let converted = AtomicBool::new(false);
        let until_converted = |act: &dyn Fn()| {
            while !converted.load(Ordering::Relaxed) {
                act();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| until_converted(&|| drop(pool.driver.plan(&old).unwrap())));
            scope.spawn(|| {
                until_converted(&|| {
                    let new = pool.create(&format!("new-{number}"), &image);
                    pool.driver.delete_volume(&new).unwrap();
                });
            });
            let result = pool.driver.convert_image(&image, &mut |root| fill(root));
            converted.store(true, Ordering::Relaxed);
            result.unwrap();
        });
    }
}

#[test]
fn a_packed_image_serves_a_new_daemon() {
    if !root() {
        return;
    }
    let (pool, image) = (Pool::new(DriverKind::Overlay), fingerprint(1));
    let file = packed(&pool);
    pool.driver.attach_squashfs(&image, &file).unwrap();
    let name = pool.create("web1", &image);
    let pool = pool.reopen();
    assert_eq!(Mounted::new(&*pool.driver, &name).read("etc/hostname"), "image\n");
    let unpacked = pool.driver.import_image(&image, &mut |_| panic!("unpacked")).unwrap();
    assert_eq!(unpacked, Imported::AlreadyThere);
    pool.driver.delete_image(&image).unwrap();
    assert_eq!(Mounted::new(&*pool.driver, &name).read("etc/hostname"), "image\n");
    pool.driver.delete_volume(&name).unwrap();
    pool.driver.empty_trash().unwrap();
    assert_eq!(fs::read_dir(pool.path.join("layers")).unwrap().count(), 0);
}

#[test]
fn a_failed_conversion_leaves_the_packed_form() {
    if !root() {
        return;
    }
    let (pool, image) = (Pool::new(DriverKind::Overlay), fingerprint(1));
    pool.driver.attach_squashfs(&image, &packed(&pool)).unwrap();
    let entries = pool.entries();
    pool.driver.convert_image(&image, &mut |_| Err("no space".into())).unwrap_err();
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), entries);
    let name = pool.create("web1", &image);
    assert_eq!(Mounted::new(&*pool.driver, &name).read("etc/hostname"), "image\n");
}

#[test]
fn what_is_no_squashfs_is_not_attached() {
    if !root() {
        return;
    }
    let (pool, image) = (Pool::new(DriverKind::Overlay), fingerprint(1));
    let file = pool.beside().join("nonsense");
    fs::write(&file, vec![7; 1 << 20]).unwrap();
    let err = pool.driver.attach_squashfs(&image, &file).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Internal);
    assert_eq!(pool.driver.has_image(&image).unwrap(), None);
    assert_eq!(loop_devices_of(file.to_str().unwrap()), 0);
}

#[test]
fn the_dir_driver_asks_for_conversion() {
    if !root() {
        return;
    }
    let (pool, image) = (Pool::new(DriverKind::Dir), fingerprint(1));
    let attached = pool.driver.attach_squashfs(&image, &packed(&pool)).unwrap();
    assert!(matches!(attached, Attached::NeedsConversion { .. }), "{attached:?}");
    assert_eq!(pool.driver.has_image(&image).unwrap(), None);
}
