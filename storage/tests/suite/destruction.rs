//! Taking pools away: all that is theirs, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sc_storage::{DriverKind, Error};
use sc_sys::mount::{Depth, NewMount, Propagation};
use sc_sys::namespace::Namespaces;

use crate::support::{Closed, Pool, root};

crate::on_every_driver!(
    a_destroyed_pool_takes_along_the_folder_that_it_made,
    a_folder_without_a_mark_is_left_alone,
    a_folder_that_was_there_before_stays_without_what_was_the_pools,
    what_was_put_beside_a_pool_stays,
    an_open_pool_is_not_destroyed,
    a_pool_of_a_newer_version_is_not_destroyed,
    an_interrupted_destruction_is_finished,
    a_part_that_is_a_link_goes_and_what_it_points_at_stays,
    a_mount_point_is_a_pool_like_any_other,
);

/// A pool with an image and a volume.
fn closed(kind: DriverKind) -> Closed {
    let (pool, image) = Pool::with_image(kind);
    pool.create("web1", &image);
    pool.close()
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn a_destroyed_pool_takes_along_the_folder_that_it_made(kind: DriverKind) {
    if !root() {
        return;
    }
    let pool = closed(kind);
    sc_storage::destroy(&pool.path).unwrap();
    assert_eq!(names(pool.beside()), [""; 0]);
    sc_storage::destroy(&pool.path).unwrap();
}

fn a_folder_without_a_mark_is_left_alone(_: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    for part in ["layers", "volumes", "trash"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        fs::write(folder.path().join(part).join("precious"), "data").unwrap();
    }
    sc_storage::destroy(folder.path()).unwrap();
    for part in ["layers", "volumes", "trash"] {
        assert_eq!(fs::read(folder.path().join(part).join("precious")).unwrap(), b"data");
    }
    let empty = tempfile::tempdir().unwrap();
    sc_storage::destroy(empty.path()).unwrap();
    assert!(empty.path().exists());
}

fn a_folder_that_was_there_before_stays_without_what_was_the_pools(kind: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    drop(sc_storage::create(folder.path(), kind, &BTreeMap::new()).unwrap());
    sc_storage::destroy(folder.path()).unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
}

fn what_was_put_beside_a_pool_stays(kind: DriverKind) {
    let pool = Pool::new(kind).close();
    fs::write(pool.path.join("precious"), "data").unwrap();
    sc_storage::destroy(&pool.path).unwrap();
    assert_eq!(names(&pool.path), ["precious"]);
}

fn an_open_pool_is_not_destroyed(kind: DriverKind) {
    let pool = Pool::new(kind);
    let entries = pool.entries();
    let refused = sc_storage::destroy(&pool.path);
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    assert_eq!(pool.entries(), entries);
}

fn a_pool_of_a_newer_version_is_not_destroyed(kind: DriverKind) {
    let pool = Pool::new(kind).close();
    let file = pool.path.join("format.json");
    let newer = fs::read_to_string(&file).unwrap().replace("\"version\": 1", "\"version\": 2");
    for text in [&newer, "{ nonsense"] {
        fs::write(&file, text).unwrap();
        fs::create_dir_all(pool.path.join("volumes/web1")).unwrap();
        let refused = sc_storage::destroy(&pool.path);
        assert!(matches!(refused, Err(Error::Format { .. })), "{refused:?}");
        assert!(pool.path.join("volumes/web1").exists());
    }
}

fn an_interrupted_destruction_is_finished(kind: DriverKind) {
    if !root() {
        return;
    }
    let pool = closed(kind);
    fs::remove_dir_all(pool.path.join("layers")).unwrap();
    sc_storage::destroy(&pool.path).unwrap();
    assert!(!pool.path.exists());
}

fn a_part_that_is_a_link_goes_and_what_it_points_at_stays(kind: DriverKind) {
    let pool = Pool::new(kind).close();
    let elsewhere = pool.beside().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "data").unwrap();
    fs::remove_dir(pool.path.join("volumes")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, pool.path.join("volumes")).unwrap();
    sc_storage::destroy(&pool.path).unwrap();
    assert_eq!(names(pool.beside()), ["elsewhere"]);
    assert_eq!(names(&elsewhere), ["precious"]);
}

fn a_mount_point_is_a_pool_like_any_other(kind: DriverKind) {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = |path: &Path| {
        let tmpfs = NewMount::new("tmpfs").create().unwrap();
        sc_sys::mount::attach(&tmpfs, path).unwrap();
    };
    let life = || {
        let created = |path: &Path| drop(sc_storage::create(path, kind, &BTreeMap::new()).unwrap());
        let given = folder.path().join("given");
        fs::create_dir(&given).unwrap();
        mount(&given);
        created(&given);
        sc_storage::destroy(&given).unwrap();
        assert_eq!(names(&given), [""; 0]);
        // One that became a mount point later: a clone of itself over itself.
        let made = folder.path().join("made");
        created(&made);
        let clone = sc_sys::mount::clone_tree(&made, Depth::This).unwrap();
        sc_sys::mount::attach(&clone, &made).unwrap();
        sc_storage::destroy(&made).unwrap();
        assert_eq!(names(&made), [""; 0]);
    };
    std::thread::scope(|scope| {
        let apart = scope.spawn(|| {
            sc_sys::namespace::unshare(Namespaces::FS | Namespaces::NEWNS).unwrap();
            sc_sys::mount::make_propagation("/", Propagation::Private, Depth::Recursive).unwrap();
            life();
        });
        apart.join().unwrap();
    });
}
