//! Instances that are stopped, deleted and shown.

use serde_json::json;

use crate::harness::Cli;

#[test]
fn several_instances_are_each_told_when_they_fail() {
    let cli = Cli::new();
    let ran = cli.run(&["stop", "web1", "db1", "nope"]);
    assert_eq!(ran.code, Some(1));
    let mut lines: Vec<&str> = ran.stderr.lines().collect();
    lines.sort_unstable();
    let told = [
        "Error: Instance \"nope\" not found: see sc list",
        "Error: db1: The instance is already stopped",
    ];
    assert_eq!(lines, told);
    assert_eq!(cli.fake.last("PUT /1.0/instances/web1/state").body["timeout"], -1);
}

#[test]
fn stop_passes_force_and_timeout_on() {
    let cli = Cli::new();
    cli.ok(&["stop", "web1", "--force"]);
    let stop = json!({"action": "stop", "timeout": -1, "force": true, "stateful": false});
    assert_eq!(cli.fake.last("PUT").body, stop);
    cli.ok(&["restart", "web1", "--timeout", "5"]);
    let restart = json!({"action": "restart", "timeout": 5, "force": false, "stateful": false});
    assert_eq!(cli.fake.last("PUT").body, restart);
    assert!(cli.usage(&["stop", "web1", "-f", "--timeout", "5"]).contains("--timeout"));
    cli.ok(&["stop", "--all"]);
    assert!(!cli.fake.lines().contains(&"PUT /1.0/instances/db1/state".to_owned()));
}

#[test]
fn a_timeout_of_zero_is_refused_as_the_api_takes_it_for_none() {
    let cli = Cli::new();
    let error = cli.usage(&["stop", "web1", "--timeout", "0"]);
    assert!(error.contains("no time to stop in; --force kills at once"), "{error}");
    assert!(cli.usage(&["restart", "web1", "--timeout", "-5"]).contains("or -1"));
    cli.ok(&["stop", "web1", "--timeout", "-1"]);
}

#[test]
fn a_running_instance_is_deleted_by_force_only() {
    let cli = Cli::new();
    assert_eq!(
        cli.error(&["delete", "web1"]),
        "Error: instance web1 is running: stop it first, or pass --force"
    );
    cli.ok(&["delete", "db1"]);
    assert_eq!(cli.fake.lines().last().unwrap(), "DELETE /1.0/instances/db1");
    cli.ok(&["delete", "db1", "--force"]);
    cli.run(&["delete", "web1", "--force"]);
    assert_eq!(cli.fake.last("PUT /1.0/instances/web1/state").body["force"], true);
}

#[test]
fn what_stops_by_itself_just_then_is_deleted_by_force_all_the_same() {
    let cli = Cli::new();
    cli.ok(&["delete", "--force", "ending1"]);
    assert_eq!(cli.fake.lines().last().unwrap(), "DELETE /1.0/instances/ending1");
}

#[test]
fn the_consoles_log_is_printed_as_it_is() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["console", "web1", "--show-log"]), "login: ");
    let error = cli.error(&["console", "web1"]);
    assert!(error.contains("needs a terminal") && error.contains("--show-log"), "{error}");
    let text = cli.ok(&["info", "web1", "--show-log"]);
    assert!(text.ends_with("\nLog:\n\nthe agent's log\n"), "{text}");
}

#[test]
fn info_shows_what_an_instance_uses() {
    let text = Cli::new().ok(&["info", "web1"]);
    for line in [
        "Name: web1",
        "Status: RUNNING",
        "PID: 4321",
        "  Processes: 12",
        "  CPU usage: 2.500 s",
        "  Memory: 32.00MiB of 64.00MiB",
        "    inet: 10.7.0.2/24 (global)",
        "    Host interface: veth1",
        "    Received: 2.00KiB in 20 packets",
    ] {
        assert!(text.lines().any(|has| has == line), "{line}: {text}");
    }
    assert!(Cli::new().ok(&["info"]).contains("server_version: "));
}
