//! Stops, reboots, and other ends.

use std::io::Write;
use std::time::{Duration, Instant};

use sc_agent_protocol::{Event, Exit, InitKind, Phase, Reply, Request};

use crate::console::console;
use crate::console::read_until;
use crate::harness::{Fixture, eventually, is_alive, nulls, request, seed};
use crate::need_root;

#[test]
fn a_guest_that_reboots_comes_back_under_the_same_agent() {
    need_root!();
    let mut fixture = Fixture::busybox();
    fixture.spec.seed_files.push(seed("/etc/seeded", Some("first\n")));
    let mut agent = fixture.boot();
    agent.run(&[
        "sh",
        "-c",
        "echo mine > /etc/seeded; ip link set lo up; ip addr add 10.9.8.7/24 dev lo",
    ]);
    agent.run(&["ip", "link", "add", "made0", "type", "veth", "peer", "name", "made1"]);
    agent.run(&["reboot"]);
    agent.wait_for(|event| *event == Event::Rebooting);
    let pid = agent.started();
    assert!(is_alive(pid));
    assert_eq!(agent.run(&["cat", "/etc/seeded"]).1, "mine\n", "seeds are for the first boot");
    let (_, links, _) = agent.run(&["ip", "addr"]);
    assert!(!links.contains("10.9.8.7") && !links.contains("made0"), "{links}");
    let mut stream = console(&mut agent, false).unwrap();
    stream.write_all(b"echo li''ve\n").unwrap();
    read_until(&mut stream, "live");
    let record = fixture.read("exits");
    assert!(record.contains("rebooting") && record.contains("\"reboots\":1"), "{record}");
    agent.reconnect();
    let Some(Phase::Running { reboots: 1, init: InitKind::Busybox, .. }) = agent.phase else {
        panic!("{:?}", agent.phase)
    };
}

#[test]
fn a_guest_powers_itself_off() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null = nulls();
    agent.start_exec(&request(&["poweroff", "-f"]), &null).unwrap();
    assert_eq!(agent.ended(), Exit::Halted);
    assert!(agent.wait().success());
    assert!(fixture.read("exits").lines().last().unwrap().contains("halted"));
}

#[test]
fn a_guest_stops_in_order_by_its_inits_own_signal() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let start = Instant::now();
    assert_eq!(agent.ask(Request::Stop { signal: None }, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Halted);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(fixture.dir.path().join("rw/upper/var/stopped").exists(), "its shutdown lines ran");
    agent.wait();
}

#[test]
fn an_init_that_waits_for_signals_gets_its_signal_at_once() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    eventually("its shell runs", || fixture.read("console.log").contains('#'));
    let start = Instant::now();
    agent.ask(Request::Stop { signal: None }, &[]);
    eventually("the signal is sent", || fixture.read("agent.log").contains("stop: signal"));
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[test]
fn a_stop_sent_as_soon_as_the_guest_starts_is_not_lost() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    agent.ask(Request::Stop { signal: None }, &[]);
    assert_eq!(agent.ended(), Exit::Halted);
}

#[test]
fn a_stop_during_a_reboot_ends_the_guest() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null = nulls();
    agent.start_exec(&request(&["reboot", "-f"]), &null).unwrap();
    agent.wait_for(|event| *event == Event::Rebooting);
    assert_eq!(agent.ask(Request::Stop { signal: None }, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Halted);
}

#[test]
fn quit_kills_the_guest() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    let pid = agent.boot();
    assert_eq!(agent.ask(Request::Quit, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Killed { signal: 9 });
    assert!(agent.wait().success());
    assert!(!is_alive(pid));
}

#[test]
fn quit_ends_an_agent_in_every_phase() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    agent.wait_for(|event| matches!(event, Event::NamespacesReady));
    assert_eq!(agent.ask(Request::Quit, &[]).0, Reply::Done);
    assert!(agent.wait().success());

    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null = nulls();
    agent.start_exec(&request(&["reboot", "-f"]), &null).unwrap();
    agent.wait_for(|event| *event == Event::Rebooting);
    assert_eq!(agent.ask(Request::Quit, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Killed { signal: 9 });
    assert!(agent.wait().success());
}

#[test]
fn a_guest_dies_with_its_agent() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    let pid = agent.boot();
    agent.kill();
    agent.wait();
    eventually("the guest is gone", || !is_alive(pid));
}

#[test]
fn a_guest_with_very_many_links_of_its_own_reboots_soon() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let make =
        "i=0; while [ $i -lt 400 ]; do ip link add v$i type veth peer name w$i; i=$((i+1)); done";
    agent.run(&["sh", "-c", make]);
    let start = Instant::now();
    agent.start_exec(&request(&["reboot", "-f"]), &nulls()).unwrap();
    agent.wait_for(|event| *event == Event::Rebooting);
    agent.started();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(agent.run(&["sh", "-c", "ip link | grep -c '[vw][0-9]'"]).1, "0\n");
}
