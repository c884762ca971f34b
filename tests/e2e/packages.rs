//! The `packages` remote. The build itself takes a minute and the mirror: `scripts/test --full`.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sc_tests::guests::Debian;
use sc_tests::{Daemon, HostSnapshot, eventually, patient, until};
use serde_json::Value;

/// How long what goes on behind a launch may take on a busy machine.
const BEHIND: Duration = Duration::from_secs(180);

#[test]
fn apt_get_update_works_in_debian() {
    let daemon = Daemon::start();
    Debian::Bookworm.import(&daemon);
    daemon.sc(&["launch", Debian::Bookworm.alias(), "web1"]).ok();
    until("running", Duration::from_secs(90), &"running".to_owned(), || {
        daemon.exec("web1", &["systemctl", "is-system-running"]).stdout.trim().to_owned()
    });
    daemon.inside("web1", "apt-get update");
}

#[test]
#[ignore = "builds Debian from its packages"]
fn debian_is_built_once_and_launched_from_its_mounted_squashfs() {
    let daemon = Daemon::start();
    let debian = Debian::Bookworm.remote_name();
    daemon.sc(&["launch", debian, "web1"]).ok();
    let (image, packed) = (only_image(&daemon), |line: &&str| line.ends_with("/image.squashfs"));
    // A guest holds the mount that it was launched from, whatever becomes of the file.
    let snapshot = HostSnapshot::of(&daemon.dir());
    let devices = snapshot.of_kind("loop device");
    let devices: Vec<_> = devices.iter().map(|line| line.trim_end_matches(" (deleted)")).collect();
    assert!(devices.iter().any(packed), "web1 runs from the packed image: {devices:?}");
    let builds = daemon.dir().join("builds");
    until("the build's own files are gone", BEHIND, &0, || entries(&builds));
    let built = changed(&builds);

    daemon.sc(&["launch", debian, "web2"]).ok();
    assert_eq!(changed(&builds), built, "the second launch builds nothing");
    let again = only_image(&daemon);
    assert_eq!(again["uploaded_at"], image["uploaded_at"]);
    assert!(again["last_used_at"].as_str() > image["last_used_at"].as_str(), "{again}");

    let layers = daemon.dir().join("storage-pools/default/layers");
    let layer = layers.join(image["fingerprint"].as_str().expect("a fingerprint is text"));
    until("the image is unpacked behind", BEHIND, &(true, false), || {
        (layer.join("root").exists(), layer.join("image.squashfs").exists())
    });
    daemon.sc(&["launch", debian, "web3"]).ok();
    for name in ["web1", "web2", "web3"] {
        assert_eq!(daemon.inside(name, "cat /etc/hostname"), name);
    }
}

/// The one image in the store.
#[track_caller]
fn only_image(daemon: &Daemon) -> Value {
    let images = daemon.json(&["image", "list", "-f", "json"]);
    let images = images.as_array().expect("the list is an array");
    assert_eq!(images.len(), 1, "one image: {images:?}");
    images[0].clone()
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// When an entry of a folder last came or went.
fn changed(folder: &Path) -> (i64, i64) {
    let metadata = std::fs::metadata(folder).expect("the folder is there");
    (metadata.mtime(), metadata.mtime_nsec())
}

#[test]
fn what_is_being_built_is_closed_to_other_users_and_goes_with_its_cancellation() {
    let daemon = Daemon::start();
    let mut copy = daemon
        .command(&["image", "copy", Debian::Bookworm.remote_name()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let builds = daemon.dir().join("builds");
    let begun = || entries(&builds) > 0;
    until("a build", Duration::from_secs(20), &true, begun);
    let mode = std::fs::metadata(&builds).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "ls"];
    let listed = Command::new("setpriv").args(nobody).arg(&builds).output().unwrap();
    assert!(!listed.status.success(), "{}", String::from_utf8_lossy(&listed.stdout));
    // Something in it that is not to be removed for a while.
    let held =
        eventually("the build's folder", Duration::from_secs(20), || scratch(&builds)).join("held");
    std::fs::create_dir(&held).unwrap();
    run("mount", &["-t".as_ref(), "tmpfs".as_ref(), "held".as_ref(), held.as_os_str()]);
    let pid = rustix::process::Pid::from_child(&copy);
    let start = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(!copy.wait().unwrap().success());
    let took = start.elapsed();
    run("umount", &[held.as_os_str()]);
    assert!(took < patient(Duration::from_secs(1)), "nobody waits for the removal: {took:?}");
    until("the build's end", Duration::from_secs(20), &false, begun);
}

/// Where the one build puts its tree together.
fn scratch(builds: &Path) -> Option<PathBuf> {
    let build = std::fs::read_dir(builds).ok()?.next()?.ok()?;
    Some(build.path().join("scratch")).filter(|path| path.is_dir())
}

#[track_caller]
fn run(program: &str, arguments: &[&OsStr]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
}
