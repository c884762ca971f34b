//! Entries in a pool that are none of its own making: the rest works on.

use std::fs;
use std::os::unix::fs::symlink;

use sc_storage::{DriverKind, Error};

use crate::support::{Mounted, Pool, fingerprint, root, volume};

crate::on_every_driver!(
    a_volume_replaced_by_a_link_fails_alone,
    odd_entries_are_left_alone,
    a_volume_is_not_deleted_without_a_trash_to_move_it_to,
    what_a_volume_that_is_away_needs_is_kept,
);

fn a_volume_replaced_by_a_link_fails_alone(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let (good, odd) = (pool.create("good", &image), pool.create("odd", &image));
    let (place, away) = (pool.path.join("volumes/odd"), pool.beside().join("away"));
    fs::rename(&place, &away).unwrap();
    symlink(&away, &place).unwrap();
    let pool = pool.reopen();
    assert_eq!(Mounted::new(&*pool.driver, &good).read("etc/hostname"), "image\n");
    for err in [
        pool.driver.plan(&odd).map(drop).unwrap_err(),
        pool.driver.usage(&odd).map(drop).unwrap_err(),
        pool.driver.write_backup(&odd, b"config").unwrap_err(),
        pool.driver.delete_volume(&odd).unwrap_err(),
    ] {
        let said = err.to_string();
        assert!(matches!(err, Error::Volume { .. }), "{said}");
        assert!(said.contains("volumes/odd") && said.contains("symbolic link"), "{said}");
    }
    assert!(place.is_symlink());
    assert!(!away.join("backup.yaml").exists());
}

fn odd_entries_are_left_alone(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let (good, bad) = (pool.create("good", &image), pool.create("bad", &image));
    let file = pool.path.join("volumes/bad/layer");
    let _ = fs::remove_file(&file);
    fs::write(&file, "no link").unwrap();
    fs::create_dir(pool.path.join("volumes/good/.tmp-1-3")).unwrap();
    fs::create_dir(pool.path.join("volumes/lost+found")).unwrap();
    fs::write(pool.path.join("volumes/file"), "data").unwrap();
    symlink("/etc", pool.path.join("layers").join(fingerprint(9).as_str())).unwrap();
    fs::write(pool.path.join("layers/file"), "data").unwrap();
    let packed = pool.path.join("layers").join(image.as_str()).join("image.squashfs");
    fs::create_dir(packed).unwrap();
    let entries = pool.entries();
    let pool = pool.reopen();
    assert_eq!(pool.entries(), entries);
    assert_eq!(pool.driver.images().unwrap(), [image]);
    assert_eq!(pool.driver.volumes().unwrap(), [volume("bad"), good.clone()]);
    assert_eq!(Mounted::new(&*pool.driver, &good).read("etc/hostname"), "image\n");
    let refused = pool.driver.plan(&bad);
    assert!(matches!(refused, Err(Error::Volume { .. })), "{refused:?}");
}

fn a_volume_is_not_deleted_without_a_trash_to_move_it_to(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let kept = pool.create("web1", &image);
    fs::remove_dir(pool.path.join("trash")).unwrap();
    assert!(pool.driver.delete_volume(&kept).is_err());
    assert_eq!(pool.driver.volumes().unwrap(), std::slice::from_ref(&kept));
    let pool = pool.reopen();
    pool.driver.delete_volume(&kept).unwrap();
    assert!(pool.driver.volumes().unwrap().is_empty());
}

fn what_a_volume_that_is_away_needs_is_kept(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let (other, odd) = (pool.create("other", &image), pool.create("odd", &image));
    let (place, away) = (pool.path.join("volumes/odd"), pool.beside().join("away"));
    fs::rename(&place, &away).unwrap();
    symlink(&away, &place).unwrap();
    let pool = pool.reopen();
    pool.driver.delete_image(&image).unwrap();
    pool.driver.delete_volume(&other).unwrap();
    let pool = pool.reopen();
    pool.driver.empty_trash().unwrap();
    fs::remove_file(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    let pool = pool.reopen();
    assert_eq!(Mounted::new(&*pool.driver, &odd).read("etc/hostname"), "image\n");
    pool.driver.delete_volume(&odd).unwrap();
    assert_eq!(fs::read_dir(pool.path.join("layers")).unwrap().count(), 0);
}
