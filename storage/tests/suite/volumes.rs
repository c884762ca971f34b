//! Volumes: independent, leased to one at a time, gone without a trace.

use std::fs;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use sc_api::ErrorKind;
use sc_storage::{DriverKind, Error, Root, Source, no_progress};

use crate::support::{BASE, Mounted, Pool, fill, fingerprint, root, volume};

crate::on_every_driver!(
    a_volume_begins_as_its_image,
    what_a_guests_root_writes_belongs_to_id_0_on_disk,
    volumes_of_one_image_are_independent,
    a_volume_keeps_its_content_over_mounts,
    a_volume_is_leased_once,
    a_lease_outlives_the_daemon_with_its_agent,
    a_deleted_volume_leaves_nothing,
    a_taken_name_is_refused,
    a_missing_volume_is_named,
    an_empty_volume_is_an_empty_directory,
    usage_grows_with_what_is_written,
    the_backup_is_replaced_whole,
    a_pool_that_is_touched_is_as_before,
    volumes_are_made_and_removed_from_many_threads,
);

fn a_volume_begins_as_its_image(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let mounted = Mounted::new(&*pool.driver, &pool.create("web1", &image));
    assert_eq!(mounted.read("etc/hostname"), "image\n");
    let stat = |path: &str| fs::symlink_metadata(mounted.path(path)).unwrap();
    assert_eq!((stat(".").mode() & 0o7777, stat(".").uid()), (0o751, BASE));
    assert_eq!((stat("su").mode() & 0o7777, stat("su").uid()), (0o4755, BASE));
    assert_eq!((stat("srv/www/index").uid(), stat("srv/www/index").gid()), (BASE + 33, BASE + 33));
    assert_eq!(fs::read_link(mounted.path("link")).unwrap().to_str(), Some("/etc/hostname"));
}

fn a_pool_that_is_touched_is_as_before(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    drop(pool.create("web1", &image));
    let before = pool.entries();
    pool.driver.touch().unwrap();
    assert_eq!(pool.entries(), before);
}

fn what_a_guests_root_writes_belongs_to_id_0_on_disk(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let mounted = Mounted::new(&*pool.driver, &pool.create("web1", &image));
    mounted.as_root(|guest| {
        fs::write(guest.path("etc/new"), "mine").unwrap();
        fs::write(guest.path("srv/www/index"), "changed").unwrap();
        // What redirect_dir=on is for.
        fs::rename(guest.path("srv"), guest.path("data")).unwrap();
    });
    assert_eq!(fs::metadata(mounted.path("etc/new")).unwrap().uid(), BASE);
    let on_disk = |name: &str| {
        let found = pool
            .entries()
            .into_iter()
            .find(|path| path.starts_with(pool.path.join("volumes")) && path.ends_with(name));
        fs::metadata(found.unwrap()).unwrap().uid()
    };
    assert_eq!(on_disk("etc/new"), 0);
    assert_eq!(on_disk("data/www/index"), 33);
    assert_eq!(mounted.read("data/www/index"), "changed");
}

fn volumes_of_one_image_are_independent(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let one = Mounted::new(&*pool.driver, &pool.create("one", &image));
    let two = Mounted::new(&*pool.driver, &pool.create("two", &image));
    one.as_root(|guest| {
        fs::write(guest.path("etc/hostname"), "one\n").unwrap();
        fs::remove_dir_all(guest.path("srv")).unwrap();
    });
    assert_eq!(one.read("etc/hostname"), "one\n");
    assert_eq!(two.read("etc/hostname"), "image\n");
    assert_eq!(two.read("srv/www/index"), "hello");
    let three = Mounted::new(&*pool.driver, &pool.create("three", &image));
    assert_eq!(three.read("etc/hostname"), "image\n");
    assert_eq!(three.read("srv/www/index"), "hello");
}

fn a_volume_keeps_its_content_over_mounts(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    let mounted = Mounted::new(&*pool.driver, &name);
    mounted.as_root(|guest| {
        fs::write(guest.path("etc/hostname"), "kept\n").unwrap();
        fs::remove_file(guest.path("su")).unwrap();
    });
    drop(mounted);
    let pool = pool.reopen();
    let mounted = Mounted::new(&*pool.driver, &name);
    assert_eq!(mounted.read("etc/hostname"), "kept\n");
    assert!(!mounted.path("su").exists());
}

fn a_volume_is_leased_once(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    let lease = pool.driver.plan(&name).unwrap().lease;
    for err in [
        pool.driver.plan(&name).map(drop).unwrap_err(),
        pool.driver.delete_volume(&name).unwrap_err(),
    ] {
        assert!(matches!(err, Error::InUse { .. }), "{err}");
        assert_eq!(err.kind(), ErrorKind::Conflict);
    }
    // What does not touch the root goes on.
    pool.driver.write_backup(&name, b"config").unwrap();
    pool.driver.usage(&name).unwrap();
    drop(lease);
    drop(pool.driver.plan(&name).unwrap());
    pool.driver.delete_volume(&name).unwrap();
}

fn a_lease_outlives_the_daemon_with_its_agent(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    let lease = OwnedFd::from(pool.driver.plan(&name).unwrap().lease);
    // The agent: a process that was given the descriptor.
    let mut agent = Command::new("sleep").arg("1000").stdin(Stdio::from(lease)).spawn().unwrap();
    let pool = pool.reopen();
    let refused = pool.driver.plan(&name);
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    pool.driver.plan(&name).unwrap();
}

fn a_deleted_volume_leaves_nothing(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let before = pool.entries();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let name = pool.create("web1", &image);
    let mounted = Mounted::new(&*pool.driver, &name);
    mounted.as_root(|guest| {
        fs::remove_dir_all(guest.path("srv")).unwrap();
        fs::create_dir_all(guest.path("a/b/c")).unwrap();
        std::os::unix::fs::symlink("/", guest.path("a/b/host")).unwrap();
    });
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
    drop(mounted);
    pool.driver.write_backup(&name, b"config").unwrap();
    pool.driver.delete_volume(&name).unwrap();
    assert!(!pool.driver.has_volume(&name).unwrap());
    // The name is free before anything was really removed.
    let again = pool.create("web1", &image);
    pool.driver.delete_volume(&again).unwrap();
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), before);
}

fn a_taken_name_is_refused(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let first = pool.create("first", &image);
    let entries = pool.entries();
    for err in [
        pool.driver.create_volume(&first, Source::Image(&image), &no_progress).unwrap_err(),
        pool.driver.create_volume(&first, Source::Empty, &no_progress).unwrap_err(),
    ] {
        assert!(matches!(err, Error::Exists { .. }), "{err}");
        assert_eq!(err.kind(), ErrorKind::Conflict);
    }
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), entries);
}

fn a_missing_volume_is_named(kind: DriverKind) {
    let (pool, name) = (Pool::new(kind), volume("nobody"));
    for err in [
        pool.driver.plan(&name).map(drop).unwrap_err(),
        pool.driver.delete_volume(&name).unwrap_err(),
        pool.driver.usage(&name).map(drop).unwrap_err(),
        pool.driver.write_backup(&name, b"").unwrap_err(),
    ] {
        assert_eq!(err.kind(), ErrorKind::NotFound);
        assert!(err.to_string().contains("nobody"), "{err}");
    }
}

fn an_empty_volume_is_an_empty_directory(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, name) = (Pool::new(kind), volume("blank"));
    pool.driver.create_volume(&name, Source::Empty, &no_progress).unwrap();
    let plan = pool.driver.plan(&name).unwrap();
    let Root::Tree { path } = &plan.root else { panic!("{plan:?}") };
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o755);
    drop(plan);
    let mounted = Mounted::new(&*pool.driver, &name);
    mounted.as_root(|guest| fs::write(guest.path("file"), "x").unwrap());
    assert_eq!(pool.driver.usage(&name).unwrap().entries, 1);
}

fn usage_grows_with_what_is_written(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let name = pool.create("web1", &image);
    let before = pool.driver.usage(&name).unwrap();
    let mounted = Mounted::new(&*pool.driver, &name);
    mounted.as_root(|guest| {
        fs::write(guest.path("large"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(guest.path("large"), guest.path("larger")).unwrap();
        rustix::fs::sync();
    });
    let after = pool.driver.usage(&name).unwrap();
    assert_eq!(after.entries - before.entries, 2);
    let grown = after.bytes - before.bytes;
    assert!((1 << 20..(1 << 20) + 16_384).contains(&grown), "{grown}");
}

fn the_backup_is_replaced_whole(kind: DriverKind) {
    let (pool, name) = (Pool::new(kind), volume("web1"));
    pool.driver.create_volume(&name, Source::Empty, &no_progress).unwrap();
    pool.driver.write_backup(&name, b"a first and long one").unwrap();
    pool.driver.write_backup(&name, b"short").unwrap();
    let path = pool.path.join("volumes/web1/backup.yaml");
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
}

fn volumes_are_made_and_removed_from_many_threads(kind: DriverKind) {
    if !root() {
        return;
    }
    let (pool, image) = Pool::with_image(kind);
    let before = pool.entries();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (pool, image) = (&pool, &image);
            scope.spawn(move || {
                for round in 0..5 {
                    let name = pool.create(&format!("v-{thread}-{round}"), image);
                    drop(pool.driver.plan(&name).unwrap());
                    pool.driver.delete_volume(&name).unwrap();
                    pool.driver.empty_trash().unwrap();
                }
            });
        }
    });
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), before);
}

#[test]
fn a_cancelled_copy_leaves_no_volume() {
    if !root() {
        return;
    }
    let pool = Pool::new(DriverKind::Dir);
    pool.driver.import_image(&fingerprint(1), &mut |root| fill(root)).unwrap();
    let before = pool.entries();
    let cancel = |_| ControlFlow::Break(());
    let result =
        pool.driver.create_volume(&volume("web1"), Source::Image(&fingerprint(1)), &cancel);
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    pool.driver.empty_trash().unwrap();
    assert_eq!(pool.entries(), before);
}
