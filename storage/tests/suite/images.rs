//! Images: taken in whole or not at all, kept for as long as volumes need them.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use sc_api::ErrorKind;
use sc_storage::{DriverKind, Error, ImageForm, Imported, Source, no_progress};

use crate::support::{Mounted, Pool, fill, fingerprint, root, volume};

crate::on_every_driver!(
    an_image_is_filled_in_once,
    an_import_that_fails_leaves_nothing,
    imports_of_one_image_at_once_give_one,
    an_image_deleted_under_a_volume_goes_with_the_last_volume,
    a_deleted_image_comes_back_without_unpacking_while_it_is_used,
    what_a_crash_left_half_made_is_swept,
    a_missing_image_is_named,
);

fn an_image_is_filled_in_once(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    assert_eq!(pool.driver.has_image(&image).unwrap(), Some(ImageForm::Directory));
    assert_eq!(pool.driver.images().unwrap(), std::slice::from_ref(&image));
    let again = pool.driver.import_image(&image, &mut |_| panic!("filled twice")).unwrap();
    assert_eq!(again, Imported::AlreadyThere);
    let pool = pool.reopen();
    assert_eq!(pool.driver.has_image(&image).unwrap(), Some(ImageForm::Directory));
}

fn an_import_that_fails_leaves_nothing(kind: DriverKind) {
    if !root() {
        return;
    }
    let pool = Pool::new(kind);
    let empty = pool.entries();
    let err = pool
        .driver
        .import_image(&fingerprint(1), &mut |path| {
            fill(path)?;
            Err("the archive ends early".into())
        })
        .unwrap_err();
    let cause = std::error::Error::source(&err).unwrap().to_string();
    assert_eq!(cause, "the archive ends early");
    assert_eq!(pool.driver.has_image(&fingerprint(1)).unwrap(), None);
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), empty);
}

fn imports_of_one_image_at_once_give_one(kind: DriverKind) {
    if !root() {
        return;
    }
    let pool = Pool::new(kind);
    let new = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let made = pool.driver.import_image(&fingerprint(1), &mut |path| fill(path));
                if made.unwrap() == Imported::New {
                    new.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(new.into_inner(), 1);
    pool.create("web1", &fingerprint(1));
}

fn an_image_deleted_under_a_volume_goes_with_the_last_volume(kind: DriverKind) {
    if !root() {
        return;
    }
    let pool = Pool::new(kind);
    let empty = pool.entries();
    let image = fingerprint(1);
    pool.driver.import_image(&image, &mut |root| fill(root)).unwrap();
    let (first, second) = (pool.create("first", &image), pool.create("second", &image));
    pool.driver.delete_image(&image).unwrap();
    assert_eq!(pool.driver.has_image(&image).unwrap(), None);
    assert_eq!(pool.driver.images().unwrap(), []);
    pool.driver.delete_volume(&first).unwrap();
    // Neither the trash nor a new daemon takes what the second volume needs.
    pool.driver.empty_trash().unwrap();
    let pool = pool.reopen();
    pool.driver.empty_trash().unwrap();
    assert_eq!(Mounted::new(&*pool.driver, &second).read("etc/hostname"), "image\n");
    let refused = pool.driver.create_volume(&first, Source::Image(&image), &no_progress);
    assert!(matches!(refused, Err(Error::NoImage { .. })), "{refused:?}");
    pool.driver.delete_volume(&second).unwrap();
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), empty);
}

fn a_deleted_image_comes_back_without_unpacking_while_it_is_used(kind: DriverKind) {
    if !root() || kind == DriverKind::Dir {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    pool.driver.delete_image(&image).unwrap();
    let back = pool.driver.import_image(&image, &mut |_| panic!("unpacked again")).unwrap();
    assert_eq!(back, Imported::AlreadyThere);
    pool.driver.delete_volume(&name).unwrap();
    assert_eq!(pool.driver.has_image(&image).unwrap(), Some(ImageForm::Directory));
}

fn what_a_crash_left_half_made_is_swept(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    let whole = pool.entries();
    for half_made in ["layers/.tmp-1-0", "volumes/.tmp-1-1", "trash/1-2"] {
        let path = pool.path.join(half_made);
        fs::create_dir_all(path.join("root/a")).unwrap();
        fs::write(path.join("root/a/file"), "x").unwrap();
    }
    fs::write(pool.path.join("volumes/web1/.tmp-1-3"), "a backup that was being wri").unwrap();
    // A layer whose mark never came, and one whose image was deleted just before the crash.
    fs::create_dir_all(pool.path.join("layers").join(fingerprint(2).as_str()).join("root"))
        .unwrap();
    let retired = pool.path.join("layers").join(fingerprint(3).as_str());
    fs::create_dir_all(retired.join("root")).unwrap();
    fs::write(retired.join("retired.json"), "{}").unwrap();
    let pool = pool.reopen();
    assert_eq!(pool.driver.volumes().unwrap(), [name]);
    assert_eq!(pool.driver.images().unwrap(), [image]);
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), whole);
}

fn a_missing_image_is_named(kind: DriverKind) {
    let (pool, image) = (Pool::new(kind), fingerprint(9));
    for err in [
        pool.driver.delete_image(&image).unwrap_err(),
        pool.driver.convert_image(&image, &mut |_| Ok(())).unwrap_err(),
        pool.driver
            .create_volume(&volume("web1"), Source::Image(&image), &no_progress)
            .unwrap_err(),
    ] {
        assert_eq!(err.kind(), ErrorKind::NotFound);
        assert!(err.to_string().contains(image.as_str()), "{err}");
    }
    assert_eq!(pool.driver.volumes().unwrap(), []);
}
