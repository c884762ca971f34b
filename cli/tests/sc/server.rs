//! The daemon itself.

use serde_json::{Value, json};

use crate::harness::{Cli, finish, plain_command, with_input};

#[test]
fn any_request_can_be_sent() {
    let cli = Cli::new();
    let value: Value = serde_json::from_str(&cli.ok(&["query", "/1.0/profiles"])).unwrap();
    assert_eq!(value[0]["name"], "default");
    cli.ok(&["query", "-X", "put", "-d", "{\"a\":1}", "/1.0/profiles/default"]);
    assert_eq!(cli.fake.last("PUT").body, json!({"a": 1}));
    assert_eq!(
        cli.error(&["query", "/1.0/instances/nope"]),
        "Error: Instance \"nope\" not found: see sc list"
    );
    assert!(cli.usage(&["query", "nope"]).contains("no path"));
    let waited = cli.ok(&["query", "--wait", "-X", "DELETE", "/1.0/instances/db1"]);
    assert!(waited.contains("\"status\": \"Success\""), "{waited}");
}

#[test]
fn the_daemon_is_waited_for() {
    let cli = Cli::new();
    cli.ok(&["admin", "waitready", "--timeout", "5"]);
    cli.ok(&["admin", "waitready", "--timeout", &u64::MAX.to_string()]);
    let ran =
        finish(plain_command(&["admin", "waitready", "-t", "1"]).env("SC_DIR", "/nonexistent"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("Error: the daemon is not ready after 1 s: "), "{ran:?}");
}

#[test]
fn init_makes_nothing_where_all_is_there() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["admin", "init", "--auto"]), "");
    assert!(cli.fake.lines().iter().all(|line| line.starts_with("GET")));
    assert!(cli.usage(&["admin", "init"]).contains("--auto|--preseed"));
    assert!(cli.usage(&["admin", "init", "--auto", "--preseed"]).contains("cannot be used with"));
}

#[test]
fn what_is_there_by_a_preseed_is_left_alone_and_what_is_there_otherwise_is_refused() {
    let cli = Cli::new();
    let preseed = |text: &str| with_input(cli.command(&["admin", "init", "--preseed"]), text);
    let network = "networks: [{name: scbr0, description: '', config: {ipv4.address: auto}}]";
    let pool = "storage_pools: [{name: default, driver: overlay, config: {source: /pool/}}]";
    let ran = preseed(&format!("{network}\n{pool}\n"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for described in
        [network.replace("''", "lan"), pool.replace("config", "description: lan, config")]
    {
        let ran = preseed(&described);
        assert!(ran.stderr.contains("there with description \"\", not \"lan\": delete"), "{ran:?}");
    }
    assert!(cli.fake.lines().iter().all(|line| line.starts_with("GET")));
}

#[test]
fn versions_are_shown_also_without_a_daemon() {
    assert!(Cli::new().ok(&["version"]).contains("Server version: 9.9"));
    let ran = finish(plain_command(&["version"]).env("SC_DIR", "/nonexistent"));
    assert!(ran.stdout.contains("Server version: unreachable"), "{ran:?}");
}
