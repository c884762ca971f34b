//! The `packages` remote, for real: with --full, as it takes a minute and the mirror.

use sc_tests::guests::Debian;
use sc_tests::{Daemon, HostSnapshot, full, until};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn debian_is_built_cached_and_launched_from_its_mount() {
    let daemon = Daemon::start();
    if !full() {
        // What was built before is launched like any other image.
        Debian::Bookworm.import(&daemon);
        daemon.sc(&["launch", Debian::Bookworm.alias(), "web1"]).ok();
    } else {
        daemon.sc(&["launch", Debian::Bookworm.remote_name(), "web1"]).ok();
        let again = daemon.sc(&["launch", Debian::Bookworm.remote_name(), "web2"]);
        again.ok();
        assert!(again.took < Duration::from_secs(20), "the second launch builds nothing");
    }
    until("running", Duration::from_secs(90), &"running".to_owned(), || {
        daemon.exec("web1", &["systemctl", "is-system-running"]).stdout.trim().to_owned()
    });
    daemon.inside("web1", "apt-get update");
    daemon.sc(&["delete", "--force", "web1"]).ok();
    let scratch = HostSnapshot::of(&daemon.dir());
    let builds: Vec<_> =
        scratch.of_kind("file").into_iter().filter(|line| line.contains("/builds/")).collect();
    assert_eq!(builds, Vec::<&str>::new(), "nothing is left of the build");
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
    let begun = || std::fs::read_dir(&builds).is_ok_and(|mut entries| entries.next().is_some());
    until("a build", Duration::from_secs(20), &true, begun);
    let mode = std::fs::metadata(&builds).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "ls"];
    let listed = Command::new("setpriv").args(nobody).arg(&builds).output().unwrap();
    assert!(!listed.status.success(), "{}", String::from_utf8_lossy(&listed.stdout));
    let pid = rustix::process::Pid::from_child(&copy);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(!copy.wait().unwrap().success());
    until("the build's end", Duration::from_secs(20), &false, begun);
}
