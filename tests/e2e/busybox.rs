//! The shortest way: an image, a guest, its end.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, status};

#[test]
fn an_imported_tarball_is_launched_listed_stopped_and_deleted() {
    let daemon = Daemon::start();
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Running");
    assert_eq!(daemon.inside("c1", "hostname"), "c1");
    daemon.sc(&["stop", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
    daemon.sc(&["delete", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "-");
}
