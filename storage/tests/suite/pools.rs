//! Pools: their folders, their format, who may enter.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use sc_api::ErrorKind;
use sc_storage::{DriverKind, Error};

use crate::support::{Mounted, Pool, root};

crate::on_every_driver!(
    an_ordinary_user_can_enter_none_of_a_pools_folders,
    a_pool_is_open_once,
    a_pool_that_was_opened_up_is_closed_again,
    a_folder_that_holds_something_becomes_no_pool,
    a_pool_of_a_newer_version_is_refused,
    a_folder_that_is_no_pool_is_refused,
    an_option_that_the_driver_does_not_have_is_refused,
    an_interrupted_creation_is_taken_up,
    an_interrupted_creation_is_taken_back,
    a_creation_that_ends_before_its_mark_leaves_no_folder,
    pools_made_of_one_folder_at_once_are_one,
    a_pool_knows_its_driver_and_its_space,
);

/// Whether nobody (65534) can list a folder.
fn nobody_can_list(path: &Path) -> bool {
    let listing = Command::new("ls").arg(path).uid(65_534).gid(65_534).output().unwrap();
    listing.status.success()
}

fn an_ordinary_user_can_enter_none_of_a_pools_folders(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    let mounted = Mounted::new(&*pool.driver, &name);
    mounted.as_root(|guest| fs::copy(guest.path("su"), guest.path("mine")).unwrap());
    fs::set_permissions(pool.beside(), fs::Permissions::from_mode(0o755)).unwrap();
    // The test can tell: the folder above is open.
    assert!(nobody_can_list(pool.beside()));
    assert!(!nobody_can_list(&pool.path));
    for folder in ["layers", "volumes", "trash", "volumes/web1"] {
        assert!(!nobody_can_list(&pool.path.join(folder)), "{folder}");
    }
    for folder in ["", "layers", "volumes", "trash"] {
        let found = fs::metadata(pool.path.join(folder)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o700, 0), "{folder}");
    }
    // Whatever was opened inside by mistake, the way to it stays closed.
    for entry in pool.entries() {
        if !entry.is_symlink() {
            assert!(!nobody_can_list(&entry), "{}", entry.display());
        }
    }
}

fn a_pool_is_open_once(kind: DriverKind) {
    let pool = Pool::new(kind);
    let second = sc_storage::open(&pool.path);
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    pool.reopen();
}

fn a_pool_that_was_opened_up_is_closed_again(kind: DriverKind) {
    let pool = Pool::new(kind);
    let path = pool.path.clone();
    for folder in ["", "volumes"] {
        fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let _pool = pool.reopen();
    for folder in ["", "volumes"] {
        assert_eq!(fs::metadata(path.join(folder)).unwrap().mode() & 0o7777, 0o700);
    }
}

fn a_folder_that_holds_something_becomes_no_pool(kind: DriverKind) {
    for precious in ["precious", "volumes"] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join(precious)).unwrap();
        let result = sc_storage::create(folder.path(), kind, &BTreeMap::new());
        assert!(matches!(result, Err(Error::Exists { .. })), "{result:?}");
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o7777, 0o755);
    }
    let pool = Pool::new(kind);
    let result = sc_storage::create(&pool.path, kind, &BTreeMap::new());
    assert!(matches!(result, Err(Error::Exists { .. })), "{result:?}");
}

fn a_pool_of_a_newer_version_is_refused(kind: DriverKind) {
    let Pool { driver, path, .. } = &Pool::new(kind);
    let text = fs::read_to_string(path.join("format.json")).unwrap();
    assert!(text.contains(driver.kind().as_str()));
    let newer = Pool::new(kind);
    fs::write(newer.path.join("format.json"), text.replace("\"version\": 1", "\"version\": 2"))
        .unwrap();
    let newer_path = newer.path.clone();
    let Pool { driver, .. } = &newer;
    assert_eq!(driver.path(), newer_path);
    let err = sc_storage::open(&newer_path).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Unavailable);
    assert!(err.to_string().contains("version 2"), "{err}");
}

fn a_folder_that_is_no_pool_is_refused(_: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    let err = sc_storage::open(folder.path()).unwrap_err();
    assert!(err.to_string().contains("format.json"), "{err}");
    fs::write(folder.path().join("format.json"), "{ nonsense").unwrap();
    assert!(matches!(sc_storage::open(folder.path()), Err(Error::Format { .. })));
}

fn an_option_that_the_driver_does_not_have_is_refused(kind: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    let options = BTreeMap::from([("size".to_owned(), "10GiB".to_owned())]);
    let err = sc_storage::create(&folder.path().join("pool"), kind, &options).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Invalid);
    assert!(err.to_string().contains("size"), "{err}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn an_interrupted_creation_is_taken_up(kind: DriverKind) {
    // Before its mark, and after it.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".tmp-sc-format"), "{").unwrap();
    let pool = sc_storage::create(folder.path(), kind, &BTreeMap::new()).unwrap();
    assert_eq!(pool.volumes().unwrap(), []);
    drop(pool);
    for part in ["layers", "volumes", "trash"] {
        fs::remove_dir(folder.path().join(part)).unwrap();
    }
    assert_eq!(sc_storage::open(folder.path()).unwrap().volumes().unwrap(), []);
}

fn an_interrupted_creation_is_taken_back(_: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".tmp-sc-format"), "{").unwrap();
    sc_storage::destroy(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn a_creation_that_ends_before_its_mark_leaves_no_folder(kind: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    let (path, half) = (folder.path().join("p1"), folder.path().join(".tmp-sc-pool-p1"));
    let left = || fs::read_dir(folder.path()).unwrap().count();
    for file in [None, Some(".tmp-sc-format"), Some("format.json")] {
        let interrupt = || {
            fs::create_dir(&half).unwrap();
            if let Some(file) = file {
                fs::write(half.join(file), "{").unwrap();
            }
        };
        interrupt();
        sc_storage::destroy(&path).unwrap();
        assert_eq!(left(), 0, "{file:?}");
        interrupt();
        drop(sc_storage::create(&path, kind, &BTreeMap::new()).unwrap());
        sc_storage::destroy(&path).unwrap();
        assert_eq!(left(), 0, "{file:?}: the next pool knows that the folder is its own");
    }
}

fn pools_made_of_one_folder_at_once_are_one(kind: DriverKind) {
    let folder = tempfile::tempdir().unwrap();
    let make = || sc_storage::create(folder.path(), kind, &BTreeMap::new());
    let results = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    for refused in results.into_iter().filter_map(Result::err) {
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    }
}

fn a_pool_knows_its_driver_and_its_space(kind: DriverKind) {
    let pool = Pool::new(kind).reopen();
    assert_eq!(pool.driver.kind(), kind);
    let space = pool.driver.resources().unwrap();
    assert!(space.total_bytes > space.used_bytes && space.used_bytes > 0, "{space:?}");
}
