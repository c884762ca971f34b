//! Measurements, on a machine that does nothing else.

use std::time::Duration;

use sc_agent_protocol::{Event, Reply, Request};

use crate::harness::Fixture;
use crate::need_root;

#[test]
#[ignore = "measures, on a machine that does nothing else"]
fn measure_the_time_from_spawn_to_started() {
    need_root!();
    let mut times: Vec<(Duration, Duration)> = (0..30)
        .map(|_| {
            let fixture = Fixture::busybox();
            let mut agent = fixture.start();
            agent.wait_for(|event| matches!(event, Event::NamespacesReady));
            let namespaces = agent.spawned.elapsed();
            assert_eq!(agent.ask(Request::Boot, &[]).0, Reply::Done);
            (agent.spawned.elapsed(), namespaces)
        })
        .collect();
    times.sort();
    let namespaces: Vec<Duration> = times.iter().map(|(_, namespaces)| *namespaces).collect();
    eprintln!(
        "started: least {:?}, median {:?}; namespaces ready: median {:?}",
        times[0].0,
        times[times.len() / 2].0,
        namespaces[namespaces.len() / 2]
    );
}

#[test]
#[ignore = "measures the static agent that SC_TEST_AGENT names"]
fn measure_the_memory_of_an_agent() {
    need_root!();
    let (one, two) = (Fixture::busybox(), Fixture::busybox());
    let (mut agent, _second) = (one.boot(), two.boot());
    agent.run(&["true"]);
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.pid())).unwrap();
    for line in rollup.lines().filter(|line| line.starts_with('P') || line.starts_with("Rss")) {
        eprintln!("{line}");
    }
}
