//! The shortest way: an image, a guest, its end; and what is told of its interfaces meanwhile.

use std::time::{Duration, Instant};

use sc_tests::guests::Busybox;
use sc_tests::{Daemon, eventually, patient, status};

#[test]
fn an_imported_tarball_is_launched_listed_stopped_and_deleted() {
    let daemon = Busybox::running();
    assert_eq!(status(&daemon, "c1"), "Running");
    assert_eq!(daemon.inside("c1", "hostname"), "c1");
    daemon.sc(&["stop", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
    daemon.sc(&["delete", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "-");
}

fn with_guest() -> Daemon {
    let daemon = Busybox::running();
    daemon.inside("c1", "while [ ! -e /run/up ]; do sleep 0.1; done");
    daemon
}

#[test]
fn the_counters_of_an_interface_are_current() {
    let daemon = with_guest();
    let received = || {
        let state = daemon.wait(daemon.client().instance_state("c1")).unwrap();
        state.network["lo"].counters.packets_received
    };
    let before = received();
    daemon.inside("c1", "ping -c 3 -i 0.1 127.0.0.1");
    assert!(received() >= before + 6, "{before} before, {} now", received());
}

#[test]
fn a_change_of_address_is_listed_as_it_happens() {
    let daemon = with_guest();
    let listed =
        |address: &str| daemon.sc(&["list", "-f", "csv", "-c", "4"]).ok().contains(address);
    for number in 1..=3 {
        let address = format!("192.0.2.{number}");
        daemon.inside("c1", &format!("ip addr add {address}/24 dev eth0"));
        let begin = Instant::now();
        eventually("it is listed", Duration::from_secs(10), || listed(&address).then_some(()));
        assert!(begin.elapsed() < patient(Duration::from_secs(1)), "after {:?}", begin.elapsed());
        daemon.inside("c1", &format!("ip addr del {address}/24 dev eth0"));
        eventually("it has gone", Duration::from_secs(1), || (!listed(&address)).then_some(()));
    }
}
