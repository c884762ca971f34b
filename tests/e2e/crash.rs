//! The daemon is killed, and comes back. Kills at every step there is: every_step.rs.

use std::time::{Duration, Instant};

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{
    Daemon, Options, Terminal, is_whole, left_nothing, pid, processes, status, until, warmed,
};

fn killed_at(daemon: &mut Daemon, fault: &str) {
    daemon.killed_when_asked(&["launch", BUSYBOX, "c1"], fault);
}

#[test]
fn a_launch_killed_when_its_volume_is_made_leaves_nothing() {
    let (mut daemon, before) = warmed();
    killed_at(&mut daemon, "kill@create:volume");
    daemon.run_again();
    assert_eq!(status(&daemon, "c1"), "-", "what was not created is not there");
    left_nothing(&daemon, "kill@create:volume", &before);
    is_whole(&daemon, "kill@create:volume", &before);
}

#[test]
fn a_launch_killed_when_its_agent_is_started_leaves_nothing() {
    let (mut daemon, before) = warmed();
    killed_at(&mut daemon, "kill@start:agent");
    daemon.run_again();
    is_whole(&daemon, "kill@start:agent", &before);
}

#[test]
fn a_launch_killed_when_its_network_is_made_leaves_nothing() {
    let (mut daemon, before) = warmed();
    killed_at(&mut daemon, "kill@start:network");
    daemon.run_again();
    is_whole(&daemon, "kill@start:network", &before);
}

#[test]
fn four_running_guests_outlive_the_daemon() {
    let (mut daemon, before) = warmed();
    let names = ["c1", "c2", "c3", "c4"];
    for name in names {
        daemon.sc(&["launch", BUSYBOX, name]).ok();
    }
    let pids = names.map(|name| pid(&daemon, name));
    let dnsmasq = dnsmasq_of(&daemon);
    daemon.kill9();
    daemon.run_again();
    assert_eq!(names.map(|name| pid(&daemon, name)), pids, "the same guests");
    assert_eq!(dnsmasq_of(&daemon), dnsmasq, "the same dnsmasq");
    for name in names {
        assert_eq!(daemon.inside(name, "hostname"), name);
        let mut console = Terminal::run(&daemon, &["console", name], (80, 24));
        console.expect("To detach");
        console.type_in("\n");
        console.expect("login:");
        console.type_in("\u{1}q");
        assert!(console.ended().success());
    }
    daemon.sc(&["stop", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
    daemon.sc(&["delete", "--force", "c1", "c2", "c3", "c4"]).ok();
    left_nothing(&daemon, "four guests", &before);
}

/// Their process ids and commands.
fn dnsmasq_of(daemon: &Daemon) -> Vec<(i32, String)> {
    let all = processes(&daemon.dir()).into_iter();
    let found: Vec<_> = all.filter(|(_, command)| command.contains("dnsmasq")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found
}

#[test]
fn a_guest_that_ends_while_the_daemon_is_away_is_stopped_when_it_is_back() {
    let (mut daemon, before) = warmed();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let init = i32::try_from(pid(&daemon, "c1")).unwrap();
    daemon.kill9();
    let init = rustix::process::Pid::from_raw(init).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
    daemon.run_again();
    until("stopped", Duration::from_secs(20), &"Stopped".to_owned(), || status(&daemon, "c1"));
    daemon.sc(&["delete", "c1"]).ok();
    left_nothing(&daemon, "a guest that ended alone", &before);
}

#[test]
fn an_ended_daemon_leaves_its_guests_running() {
    let (mut daemon, _) = warmed();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let before = pid(&daemon, "c1");
    daemon.restart();
    assert_eq!(pid(&daemon, "c1"), before);
    assert_eq!(daemon.inside("c1", "hostname"), "c1");
}

#[test]
fn a_restart_that_a_daemon_did_not_live_to_finish_is_finished_by_the_next() {
    let (mut daemon, before) = warmed();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let first = pid(&daemon, "c1");
    daemon.killed_when_asked(&["restart", "--force", "c1"], "kill@start:intent");
    daemon.run_again();
    until("running again", Duration::from_secs(20), &"Running".to_owned(), || {
        status(&daemon, "c1")
    });
    assert_ne!(pid(&daemon, "c1"), first);
    daemon.sc(&["delete", "--force", "c1"]).ok();
    left_nothing(&daemon, "an interrupted restart", &before);
}

#[test]
fn a_start_that_failed_is_not_tried_again_by_the_next_daemon() {
    let mut daemon = Daemon::with_fault("fail@start:boot");
    Busybox::import(&daemon);
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    daemon.sc(&["start", "c1"]).refused("injected failure");
    daemon.restart();
    daemon.sc(&["admin", "waitready"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
    daemon.sc(&["start", "c1"]).ok();
}

#[test]
fn the_service_manager_is_told_that_the_daemon_is_ready_alive_and_ending() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let environment = vec![
        ("NOTIFY_SOCKET".into(), path.to_str().unwrap().into()),
        ("WATCHDOG_USEC".into(), "300000".into()),
    ];
    let mut daemon = Daemon::start_with(Options { environment, ..Options::default() });
    let told = |words: &str| {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..length]).trim_end(), words);
    };
    told("READY=1");
    (0..5).for_each(|_| told("WATCHDOG=1"));
    daemon.end();
    let mut last = String::new();
    while last.trim_end() != "STOPPING=1" {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        last = String::from_utf8_lossy(&buffer[..length]).into_owned();
    }
}

#[test]
fn a_host_that_goes_down_starts_what_ran_and_nothing_that_was_stopped() {
    let (mut daemon, _) = warmed();
    daemon.end();
    daemon.run_into("fail@clear-up:links");
    daemon.sc(&["launch", BUSYBOX, "ran"]).ok();
    daemon.sc(&["launch", BUSYBOX, "stopped"]).ok();
    daemon.sc(&["stop", "--force", "stopped"]).ok();
    until("its run is over", Duration::from_secs(20), &1, || agents(&daemon));
    daemon.lose_host();
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
    assert_eq!(status(&daemon, "stopped"), "Stopped");
    until("what ran is started", Duration::from_secs(20), &"Running".to_owned(), || {
        status(&daemon, "ran")
    });
    assert_eq!(daemon.inside("ran", "hostname"), "ran");
}

fn agents(daemon: &Daemon) -> usize {
    let all = processes(&daemon.dir());
    all.iter().filter(|(_, line)| line.starts_with("sc-agent")).count()
}

#[test]
fn what_an_earlier_run_has_left_is_never_taken_for_another_instances() {
    let (mut daemon, before) = warmed();
    daemon.end();
    daemon.run_into("fail@clear-up:links");
    daemon.sc(&["launch", BUSYBOX, "a"]).ok();
    daemon.sc(&["stop", "--force", "a"]).ok();
    until("its run is over", Duration::from_secs(20), &0, || agents(&daemon));
    daemon.kill9();
    daemon.run_into("fail@clear-up:links");
    daemon.sc(&["launch", BUSYBOX, "b"]).ok();
    let b = pid(&daemon, "b");
    // It would clear up first what is left.
    daemon.sc(&["start", "a"]).refused("a");
    assert_eq!(daemon.inside("b", "hostname"), "b");
    daemon.kill9();
    daemon.run_again();
    daemon.sc(&["start", "a"]).ok();
    assert_eq!(pid(&daemon, "b"), b);
    assert_eq!(daemon.inside("a", "hostname"), "a");
    assert_eq!(daemon.inside("b", "hostname"), "b");
    daemon.sc(&["delete", "--force", "a", "b"]).ok();
    left_nothing(&daemon, "two daemons that could not clear up", &before);
}

#[test]
fn what_a_failed_restart_has_stopped_stays_so() {
    let (mut daemon, _) = warmed();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    daemon.end();
    daemon.run_into("fail@start:agent");
    daemon.sc(&["restart", "--force", "c1"]).refused("c1");
    assert_eq!(status(&daemon, "c1"), "Stopped");
    daemon.kill9();
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
}

#[test]
fn an_ephemeral_instance_whose_restart_a_daemon_did_not_live_to_finish_is_there() {
    let (mut daemon, _) = warmed();
    daemon.sc(&["launch", BUSYBOX, "e1", "-e"]).ok();
    daemon.killed_when_asked(&["restart", "--force", "e1"], "kill@clear-up:ids");
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
    assert_eq!(status(&daemon, "e1"), "Running");
    assert_eq!(daemon.inside("e1", "hostname"), "e1");
}

/// Waits until the daemon does this.
fn asked(daemon: &Daemon, what: &str) {
    until("it is under way", Duration::from_secs(20), &true, || {
        let listed = daemon.sc(&["operation", "list", "-f", "csv"]).ok().to_owned();
        listed.lines().any(|line| line.contains(what) && line.contains("RUNNING"))
    });
}

#[test]
fn a_daemon_that_ends_waits_for_no_guest_that_stops_in_its_own_time() {
    let mut daemon = Daemon::start();
    Busybox::deaf().import_as(&daemon, "deaf");
    daemon.sc(&["launch", "deaf", "c1"]).ok();
    let stop = daemon.begin(&["stop", "c1", "--timeout", "100"]);
    asked(&daemon, "Stopping instance");
    let begun = Instant::now();
    daemon.end();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    stop.ended().refused("the daemon is ending");
    daemon.run_again();
    assert_eq!(status(&daemon, "c1"), "Running");
}

#[test]
fn a_restart_that_a_daemon_had_no_time_for_is_finished_by_the_next() {
    let mut daemon = Daemon::start();
    Busybox::deaf().import_as(&daemon, "deaf");
    daemon.sc(&["launch", "deaf", "c1"]).ok();
    let first = pid(&daemon, "c1");
    let restart = daemon.begin(&["restart", "c1", "--timeout", "100"]);
    asked(&daemon, "Restarting instance");
    daemon.end();
    restart.ended().refused("the next one finishes the restart");
    daemon.run_again();
    let init = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
    until("it runs anew", Duration::from_secs(60), &true, || {
        ![0, first].contains(&pid(&daemon, "c1"))
    });
}

#[test]
fn a_shutdown_is_cut_short_by_who_asks_the_daemon_to_leave() {
    let mut daemon = Daemon::start();
    Busybox::deaf().import_as(&daemon, "deaf");
    daemon.sc(&["launch", "deaf", "c1", "-c", "boot.host_shutdown_timeout=1000"]).ok();
    let _shutdown = daemon.begin(&["admin", "shutdown"]);
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    daemon.end();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    daemon.run_again();
    assert_eq!(status(&daemon, "c1"), "Running");
}

#[test]
fn a_guest_that_is_stopping_already_has_its_time_when_all_are_stopped() {
    let mut daemon = Daemon::start();
    Busybox::deaf().import_as(&daemon, "deaf");
    daemon.sc(&["launch", "deaf", "c1", "-c", "boot.host_shutdown_timeout=4"]).ok();
    // Whether that is as patient or not.
    for patience in ["100", "2"] {
        let stop = daemon.begin(&["stop", "c1", "--timeout", patience]);
        asked(&daemon, "Stopping instance");
        let begun = Instant::now();
        let _shutdown = daemon.begin(&["admin", "shutdown"]);
        daemon.wait_died();
        assert!(begun.elapsed() >= Duration::from_secs(4), "killed after {:?}", begun.elapsed());
        assert_eq!(stop.ended().code == 0, patience == "100");
        daemon.run_again();
        until("it is started again", Duration::from_secs(20), &"Running".to_owned(), || {
            status(&daemon, "c1")
        });
    }
}

#[test]
fn an_ephemeral_instance_whose_restart_fails_is_gone() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "c1", "--ephemeral"]).ok();
    daemon.inside("c1", "rm -f /sbin/init /etc/init /bin/init /bin/sh");
    daemon.sc(&["restart", "--force", "c1"]).refused("init");
    assert_eq!(status(&daemon, "c1"), "-");
}

#[test]
fn a_network_whose_folder_was_lost_is_taken_up_again_and_deleted_whole() {
    let mut daemon = Daemon::start();
    let told = |program: &str, args: &[&str]| {
        let told = std::process::Command::new(program).args(args).output().unwrap();
        String::from_utf8_lossy(&told.stdout).into_owned()
    };
    for name in ["sctlost1", "sctlost2"] {
        daemon.sc(&["network", "create", name]).ok();
    }
    daemon.end();
    for name in ["sctlost1", "sctlost2"] {
        std::fs::remove_dir_all(daemon.dir().join("networks").join(name)).unwrap();
    }
    daemon.run_again();
    let state = daemon.sc(&["network", "info", "sctlost1"]).ok().to_owned();
    assert!(state.contains("up"), "{state}");
    std::fs::remove_dir_all(daemon.dir().join("networks/sctlost2")).unwrap();
    for name in ["sctlost1", "sctlost2"] {
        daemon.sc(&["network", "delete", name]).ok();
    }
    assert!(!told("ip", &["link"]).contains("sctlost"));
    assert!(!told("nft", &["list", "tables"]).contains("sctlost"));
}
