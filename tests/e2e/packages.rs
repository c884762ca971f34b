//! The `packages` remote, for real: with --full, as it takes a minute and the mirror.

use sc_tests::guests::Debian;
use sc_tests::{Daemon, HostSnapshot, full, until};
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
