//! Debian guests under their own init systems, from roots that mmdebstrap has made.
//!
//! `SC_TEST_DEBIAN12`, `SC_TEST_DEBIAN13` and `SC_TEST_SYSVINIT` name the roots:
//!
//! ```text
//! mmdebstrap --variant=minbase --include=systemd-sysv,udev,dbus,iproute2 bookworm ROOT
//! mmdebstrap --variant=minbase --include=sysvinit-core,iproute2 bookworm ROOT
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::{Agent, Fixture, SIZE, path_of_cached_root};
use sc_agent_protocol::{Event, Exit, InitKind, Phase, Reply, Request, SeedFile};

const BOOTS_WITHIN: Duration = Duration::from_secs(90);
const STOPS_WITHIN: Duration = Duration::from_secs(5);

fn boot(variable: &str) -> (Fixture, Agent) {
    let mut fixture = Fixture::image(&path_of_cached_root(variable));
    fixture.spec.seed_files.push(SeedFile {
        path: "/etc/hostname".into(),
        content: Some("guest1\n".into()),
        mode: 0o644,
        uid: 0,
        gid: 0,
        only_existing: false,
        only_missing: false,
    });
    let agent = fixture.boot();
    eprintln!("{variable}: spawn to started {:?}", agent.spawned.elapsed());
    (fixture, agent)
}

fn wait_until(agent: &mut Agent, what: &str, mut is_true: impl FnMut(&mut Agent) -> bool) {
    let start = Instant::now();
    while !is_true(agent) {
        assert!(start.elapsed() < BOOTS_WITHIN, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    eprintln!("{what} after {:?}", start.elapsed());
}

fn is_running(agent: &mut Agent) -> bool {
    let state = agent.run(&["systemctl", "is-system-running"]).1;
    let settled = ["running\n", "degraded\n", "maintenance\n"].contains(&state.as_str());
    if settled && state != "running\n" {
        let failed = agent.run(&["systemctl", "--failed", "--no-legend", "--plain"]).1;
        let journal = agent.run(&["sh", "-c", "journalctl -p warning --no-pager | tail -40"]).1;
        panic!("{state}{failed}{journal}");
    }
    settled
}

fn console(agent: &mut Agent) -> UnixStream {
    let (reply, mut fds) = agent.ask(Request::Console { size: Some(SIZE), force: true }, &[]);
    assert_eq!(reply, Reply::Console);
    UnixStream::from(fds.remove(0))
}

fn read_until(stream: &mut UnixStream, wanted: &str) {
    stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let length = stream.read(&mut buffer).unwrap_or(0);
        let end = all.len().saturating_sub(500);
        assert!(length > 0, "{wanted} is not in {:?}", String::from_utf8_lossy(&all[end..]));
        all.extend(&buffer[..length]);
    }
}

fn stop(agent: &mut Agent) -> Duration {
    let start = Instant::now();
    assert_eq!(agent.ask(Request::Stop { signal: None }, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Halted);
    eprintln!("stopped after {:?}", start.elapsed());
    start.elapsed()
}

fn systemd_guest(variable: &str) {
    let (fixture, mut agent) = boot(variable);
    wait_until(&mut agent, "running", is_running);
    assert!(matches!(agent.phase_now(), Phase::Running { init: InitKind::Systemd, .. }));
    assert_eq!(agent.run(&["systemd-detect-virt"]).1, "lxc\n");
    // Both prompts: at first, and after the first getty has hung the terminal up and gone.
    let mut stream = console(&mut agent);
    stream.write_all(b"\n").unwrap();
    read_until(&mut stream, "guest1 login:");
    agent.run(&["systemctl", "restart", "console-getty.service"]);
    stream.write_all(b"\n").unwrap();
    read_until(&mut stream, "guest1 login:");
    drop(stream);

    agent.run(&["systemctl", "reboot"]);
    agent.wait_for(|event| *event == Event::Rebooting);
    agent.started();
    wait_until(&mut agent, "running again", is_running);
    read_until(&mut console(&mut agent), "guest1 login:");
    assert!(stop(&mut agent) < STOPS_WITHIN);
    assert!(agent.wait().success());
    drop(fixture);
}

#[test]
#[ignore = "takes a root made by mmdebstrap"]
fn debian_12_comes_up_whole_reboots_and_stops() {
    systemd_guest("SC_TEST_DEBIAN12");
}

#[test]
#[ignore = "takes a root made by mmdebstrap"]
fn debian_13_comes_up_whole_reboots_and_stops() {
    systemd_guest("SC_TEST_DEBIAN13");
}

#[test]
#[ignore = "takes a root made by mmdebstrap"]
fn a_stop_while_systemd_comes_up_is_heeded() {
    let (_fixture, mut agent) = boot("SC_TEST_DEBIAN12");
    stop(&mut agent);
}

#[test]
#[ignore = "takes a root made by mmdebstrap"]
fn sysvinit_has_its_getty_on_the_console_and_stops_by_its_command() {
    let (_fixture, mut agent) = boot("SC_TEST_SYSVINIT");
    assert!(matches!(agent.phase_now(), Phase::Running { init: InitKind::SysvInit, .. }));
    read_until(&mut console(&mut agent), "guest1 login:");
    wait_until(&mut agent, "runlevel 2", |agent| agent.run(&["runlevel"]).1.contains('2'));
    agent.run(&["reboot"]);
    agent.wait_for(|event| *event == Event::Rebooting);
    agent.started();
    read_until(&mut console(&mut agent), "guest1 login:");
    assert!(stop(&mut agent) < STOPS_WITHIN * 2);
}
