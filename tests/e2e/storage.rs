//! The same life on a pool of each driver.

use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, HostSnapshot, patient, status, traced, until};

use crate::disks::{Disk, Movable};

fn lives_on(driver: &str) {
    let daemon = Busybox::daemon();
    daemon.sc(&["storage", "create", "other", driver]).ok();
    let shown = daemon.json(&["query", "/1.0/storage-pools/other"]);
    assert_eq!(shown["driver"], driver, "{shown}");
    daemon.sc(&["launch", BUSYBOX, "c1", "-s", "other"]).ok();
    assert_eq!(daemon.sc(&["list", "-c", "nb", "-f", "csv"]).ok(), "c1,other");
    has_what_the_image_has(&daemon);
    keeps_what_is_written(&daemon);
    does_not_share_it(&daemon);
    daemon.sc(&["storage", "delete", "other"]).refused("in use");
    daemon.sc(&["delete", "--force", "c1", "c2"]).ok();
    daemon.sc(&["storage", "delete", "other"]).ok();
    let path = daemon.dir().join("storage-pools/other");
    until("the pool's folder is gone", Duration::from_secs(20), &false, || path.exists());
    assert_eq!(HostSnapshot::of(&daemon.dir()).of_kind("mount"), Vec::<&str>::new());
}

fn has_what_the_image_has(daemon: &Daemon) {
    assert_eq!(daemon.inside("c1", "stat -c %u:%g:%a /srv"), "33:33:755", "owners as in the image");
    assert_eq!(daemon.inside("c1", "stat -c %a /tmp"), "1777");
    assert_eq!(daemon.inside("c1", "readlink /sbin/init"), "/bin/busybox");
}

fn keeps_what_is_written(daemon: &Daemon) {
    let write = "echo kept >/root/file; chown 33:33 /root/file; rm /etc/group; mv /srv /moved; \
                 ln /root/file /root/hard; chmod 4755 /root/file";
    daemon.inside("c1", write);
    daemon.sc(&["restart", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "cat /root/hard"), "kept");
    assert_eq!(daemon.inside("c1", "stat -c %u:%a /root/file"), "33:4755");
    assert_eq!(daemon.exec("c1", &["ls", "/etc/group"]).code, 1, "what was removed stays away");
    assert_eq!(daemon.inside("c1", "stat -c %u /moved"), "33");
}

fn does_not_share_it(daemon: &Daemon) {
    daemon.sc(&["launch", BUSYBOX, "c2", "-s", "other"]).ok();
    assert_eq!(
        daemon.exec("c2", &["ls", "/root/file"]).code,
        1,
        "another instance sees none of it"
    );
    assert_eq!(daemon.inside("c2", "stat -c %u /srv"), "33", "and has what the first removed");
}

#[test]
fn an_instance_lives_on_an_overlay_pool() {
    lives_on("overlay");
}

#[test]
fn an_instance_lives_on_a_dir_pool() {
    lives_on("dir");
}

#[test]
fn a_split_squashfs_image_is_launched_on_both_drivers() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    let (metadata, rootfs) = image.split();
    let files = [metadata, rootfs].map(|path| path.display().to_string());
    daemon.sc(&["image", "import", &files[0], &files[1], "--alias", "split"]).ok();
    daemon.sc(&["storage", "create", "folder", "dir"]).ok();
    for pool in ["default", "folder"] {
        daemon.sc(&["launch", "split", &format!("c-{pool}"), "-s", pool]).ok();
        assert_eq!(daemon.inside(&format!("c-{pool}"), "stat -c %u /srv"), "33");
    }
}

#[test]
fn a_folder_that_was_there_before_outlives_its_pool() {
    let daemon = Busybox::daemon();
    let folder = daemon.scratch().join("given");
    std::fs::create_dir(&folder).unwrap();
    let source = format!("source={}", folder.display());
    // Twice: what the first has left is empty.
    for _ in 0..2 {
        daemon.sc(&["storage", "create", "other", "dir", &source]).ok();
        daemon.sc(&["init", BUSYBOX, "c1", "-s", "other"]).ok();
        daemon.sc(&["delete", "c1"]).ok();
        daemon.sc(&["storage", "delete", "other"]).ok();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}

/// A daemon with the instance `c1` in a pool whose folder is not there any more.
fn with_a_lost_pool() -> (Daemon, Movable) {
    let mut daemon = Busybox::daemon();
    let pool = Movable::with_pool(&daemon, "dir");
    daemon.sc(&["init", BUSYBOX, "c1", "-s", "other"]).ok();
    daemon.kill9();
    pool.lose();
    daemon.run_again();
    daemon.sc(&["start", "c1"]).refused("restart the daemon");
    (daemon, pool)
}

#[test]
fn what_is_deleted_while_its_pool_is_lost_is_gone_when_the_pool_is_back() {
    let (mut daemon, pool) = with_a_lost_pool();
    daemon.sc(&["delete", "c1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
    daemon.kill9();
    pool.find();
    daemon.run_again();
    for part in ["volumes", "layers"] {
        assert_eq!(std::fs::read_dir(pool.folder.join(part)).unwrap().count(), 0, "{part}");
    }
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1", "-s", "other"]).ok();
    daemon.sc(&["delete", "--force", "c1"]).ok();
    daemon.sc(&["storage", "delete", "other"]).ok();
}

#[test]
fn a_lost_pool_is_forgotten_by_force_and_what_it_holds_is_let_alone() {
    let (mut daemon, pool) = with_a_lost_pool();
    daemon.sc(&["delete", "c1"]).ok();
    daemon.sc(&["storage", "delete", "other"]).refused("forget it with --force");
    daemon.sc(&["storage", "delete", "other", "--force"]).ok();
    assert!(pool.away.join("volumes/c1").exists());
    let source = format!("source={}", pool.folder.display());
    daemon.sc(&["storage", "create", "other", "dir", &source]).ok();
    daemon.sc(&["init", BUSYBOX, "c1", "-s", "other"]).ok();
    daemon.kill9();
    daemon.run_again();
    assert!(pool.folder.join("volumes/c1").exists(), "the deletion before was of another pool's");
}

#[test]
fn a_pool_that_is_moved_away_under_the_daemon_is_named_and_usable_when_it_is_back() {
    let daemon = Busybox::daemon();
    let pool = Movable::with_pool(&daemon, "overlay");
    daemon.sc(&["init", BUSYBOX, "c1", "-s", "other"]).ok();
    pool.lose();
    daemon.sc(&["start", "c1"]).refused("mount or move it back");
    daemon.sc(&["launch", BUSYBOX, "c2", "-s", "other"]).refused("mount or move it back");
    let list = daemon.sc(&["storage", "list", "-f", "csv"]).ok().to_owned();
    let line = list.lines().find(|line| line.starts_with("other,"));
    assert!(line.is_some_and(|line| line.ends_with("UNAVAILABLE")), "{list}");
    pool.find();
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(status(&daemon, "c2"), "-");
}

#[test]
fn a_pool_that_is_full_is_told_as_that() {
    let daemon = Busybox::daemon();
    let disk = Disk::with_pool(&daemon, "small", "dir", 2);
    daemon.sc(&["launch", BUSYBOX, "c1", "-s", "small"]).refused("make room");
    assert_eq!(status(&daemon, "c1"), "-");
    daemon.sc(&["storage", "delete", "small"]).ok();
    drop(disk);
}

#[test]
fn what_is_done_on_another_disk_is_there_before_the_database_says_so() {
    let daemon = Busybox::daemon();
    let disk = Disk::with_pool(&daemon, "other", "overlay", 30);
    // One that keeps its changes in order is synced with the database.
    let kind = rustix::fs::statfs(daemon.dir()).unwrap().f_type;
    let by_itself = usize::from(![0xef53, 0x5846_5342].contains(&kind));
    for (pool, syncs) in [("default", by_itself), ("other", 1)] {
        daemon.sc(&["init", BUSYBOX, "c1", "-s", pool]).ok();
        // The copy of its configuration is written behind, with syncs of its own.
        std::thread::sleep(patient(Duration::from_secs(2)));
        let deletion = traced(&daemon, || drop(daemon.sc(&["delete", "c1"])));
        assert_eq!(deletion.syncs, syncs, "{pool}: {deletion:?}");
    }
    daemon.sc(&["storage", "delete", "other"]).ok();
    drop(disk);
}

#[test]
fn a_driver_or_a_source_that_is_none_is_refused_by_name() {
    let daemon = Busybox::daemon();
    daemon.sc(&["storage", "create", "other", "floppy"]).refused("floppy");
    daemon.sc(&["storage", "create", "other", "dir", "source=/no/such"]).refused("/no/such");
    daemon
        .sc(&["storage", "create", "other", "dir", "sorce=/srv"])
        .refused("did you mean \"source\"?");
    daemon.sc(&["storage", "create", "other", "dir", "source=/etc/passwd"]).refused("empty folder");
    assert!(!std::path::Path::new("/no/such").exists());
    let inside = format!("source={}/storage-pools/default/trash", daemon.dir().display());
    daemon.sc(&["storage", "create", "other", "dir", &inside]).refused("lie in each other");
    let folder = daemon.scratch().join("first");
    std::fs::create_dir(&folder).unwrap();
    let source = |below: &str| format!("source={}{below}", folder.display());
    daemon.sc(&["storage", "create", "first", "dir", &source("")]).ok();
    daemon.sc(&["storage", "create", "other", "dir", &source("")]).refused("in use already");
    for below in ["/volumes", "/../first/layers", "/.."] {
        let refused = daemon.sc(&["storage", "create", "other", "dir", &source(below)]);
        refused.refused("lie in each other");
    }
    daemon.sc(&["launch", BUSYBOX, "c1", "-s", "nowhere"]).refused("nowhere");
}

#[test]
fn a_folder_of_the_host_is_the_guests_own() {
    let daemon = Busybox::daemon();
    let folder = daemon.scratch().join("shared");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("from-host"), "hello\n").unwrap();
    let device = format!("data,type=disk,source={},path=/data", folder.display());
    daemon.sc(&["launch", BUSYBOX, "c1", "-d", &device]).ok();
    assert_eq!(daemon.inside("c1", "cat /data/from-host"), "hello");
    assert_eq!(daemon.inside("c1", "stat -c %u /data/from-host"), "0", "root's, as on the host");
    daemon.inside("c1", "echo back >/data/from-guest; chown 33 /data/from-guest");
    let written = folder.join("from-guest");
    assert_eq!(std::fs::read_to_string(&written).unwrap(), "back\n");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&written).unwrap());
    assert_eq!(owner, 33, "nothing on disk is shifted");
}

#[test]
fn a_folder_that_is_missing_is_told_when_it_is_added() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    let add = ["config", "device", "add", "c1", "data", "disk", "source=/no/such", "path=/data"];
    daemon.sc(&add).refused("Missing source path \"/no/such\" for disk \"data\"");
    daemon.sc(&[&add[..], &["required=false"]].concat()).ok();
    daemon.sc(&["start", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "ls -d /data 2>/dev/null || echo none"), "none");
}

#[test]
fn a_guest_that_could_not_start_again_is_not_stopped_for_a_restart() {
    let daemon = Busybox::daemon();
    let folder = daemon.scratch().join("shared");
    std::fs::create_dir(&folder).unwrap();
    let device = format!("data,type=disk,source={},path=/data", folder.display());
    daemon.sc(&["launch", BUSYBOX, "c1", "-d", &device]).ok();
    std::fs::remove_dir(&folder).unwrap();
    daemon.sc(&["restart", "--force", "c1"]).refused("Missing source path");
    assert_eq!(status(&daemon, "c1"), "Running");
}

#[test]
fn a_source_that_cannot_be_idmapped_is_named_with_a_remedy_of_its_own() {
    let daemon = Busybox::daemon();
    let device = "odd,type=disk,source=/sys/class,path=/odd";
    let refused = daemon.sc(&["launch", BUSYBOX, "c1", "-d", device]);
    refused.refused("mount device odd");
    refused.refused("/sys/class");
    refused.refused("give a source on ext4");
}

#[test]
fn an_image_imported_again_beside_its_instances_has_its_templates() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    let folder = image.root().parent().unwrap().to_owned();
    let mut metadata = std::fs::read_to_string(folder.join("metadata.yaml")).unwrap();
    metadata += "templates:\n  /etc/motd: {when: [create], template: motd.tpl}\n";
    std::fs::write(folder.join("metadata.yaml"), metadata).unwrap();
    std::fs::create_dir(folder.join("templates")).unwrap();
    std::fs::write(folder.join("templates/motd.tpl"), "I am {{ container.name }}").unwrap();
    let archive = daemon.scratch().join("image.tar");
    let tar = ["--create", "--file", archive.to_str().unwrap(), "--directory"];
    let mut tar = std::process::Command::new("tar")
        .args(tar)
        .arg(&folder)
        .args(["metadata.yaml", "rootfs", "templates"])
        .spawn()
        .unwrap();
    assert!(tar.wait().unwrap().success());
    for name in ["c1", "c2"] {
        daemon.sc(&["image", "import", archive.to_str().unwrap(), "--alias", "again"]).ok();
        daemon.sc(&["launch", "again", name]).ok();
        assert_eq!(daemon.inside(name, "cat /etc/motd"), format!("I am {name}"));
        daemon.sc(&["image", "delete", "again"]).ok();
    }
}

#[test]
fn a_volume_that_is_no_instances_outlives_a_creation_of_its_name() {
    let daemon = Busybox::daemon();
    let volume = daemon.dir().join("storage-pools/default/volumes/orphan");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("precious"), "p").unwrap();
    daemon.sc(&["init", BUSYBOX, "orphan"]).refused("move it away");
    assert_eq!(std::fs::read_to_string(volume.join("precious")).unwrap(), "p");
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
    std::fs::remove_dir_all(&volume).unwrap();
    daemon.sc(&["init", BUSYBOX, "orphan"]).ok();
}

#[test]
fn a_copy_of_a_configuration_that_could_not_be_written_is_written_without_another_change() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    let copy = daemon.dir().join("storage-pools/default/volumes/c1/backup.yaml");
    let within = Duration::from_secs(20);
    until("there is a copy", within, &true, || copy.is_file());
    std::fs::remove_file(&copy).unwrap();
    std::fs::create_dir(&copy).unwrap();
    daemon.sc(&["config", "set", "c1", "user.x=later"]).ok();
    let said = || {
        let log = std::fs::read_to_string(daemon.log_path()).unwrap();
        log.matches("write the copy of an instance's configuration").count()
    };
    until("it has failed twice", within, &true, || said() >= 2);
    std::fs::remove_dir(&copy).unwrap();
    let written = || std::fs::read_to_string(&copy).unwrap_or_default().contains("later");
    until("it is written", within, &true, written);
}

#[test]
fn a_restart_whose_pool_is_lost_meanwhile_is_finished_by_the_daemon_that_finds_it_again() {
    let mut daemon = Busybox::daemon();
    let pool = Movable::with_pool(&daemon, "dir");
    daemon.sc(&["launch", BUSYBOX, "c1", "-s", "other", "--ephemeral"]).ok();
    daemon.killed_when_asked(&["restart", "--force", "c1"], "kill@restart:stopped");
    pool.lose();
    daemon.run_again();
    daemon.sc(&["start", "c1"]).refused("restart the daemon");
    daemon.kill9();
    pool.find();
    daemon.run_again();
    until("it runs again", Duration::from_secs(30), &"Running".to_owned(), || {
        status(&daemon, "c1")
    });
    daemon.sc(&["delete", "--force", "c1"]).ok();
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    daemon.sc(&["storage", "delete", "other"]).ok();
}
