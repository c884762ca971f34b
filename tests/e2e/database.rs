//! The database is gone, or another's: what belongs to it is not touched, and its return mends all.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, pid};

#[test]
fn a_daemon_without_its_database_says_so_and_touches_nothing() {
    let mut daemon = Daemon::start();
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let before = pid(&daemon, "c1");
    daemon.end();
    let (database, away) = (daemon.dir().join("database"), daemon.scratch().join("away"));
    std::fs::rename(&database, &away).unwrap();
    daemon.dies_of("");
    let log = std::fs::read_to_string(daemon.log_path()).unwrap();
    let said = log.lines().last().unwrap();
    assert!(said.contains("put the database back"), "{said}");
    std::fs::remove_dir_all(&database).unwrap();
    std::fs::rename(&away, &database).unwrap();
    daemon.run_again();
    assert_eq!(pid(&daemon, "c1"), before);
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
}
