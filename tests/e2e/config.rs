//! Configuration, images, events: what a user sets is what he gets.

use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, HostSnapshot, eventually, state, status, until};

#[test]
fn a_first_start_makes_a_usable_default() {
    let daemon = Daemon::start();
    let pools = daemon.sc(&["storage", "list", "-f", "csv"]);
    assert!(pools.ok().starts_with("default,overlay,"), "{pools:?}");
    let networks = daemon.json(&["query", "/1.0/networks?recursion=1"]);
    let managed = networks.as_array().unwrap().iter().find(|n| n["managed"] == true).unwrap();
    assert!(managed["name"].as_str().unwrap().starts_with("scbr"), "{managed}");
    for key in ["ipv4.address", "ipv6.address"] {
        assert!(managed["config"][key].as_str().is_some_and(|a| a.contains('/')), "{managed}");
    }
    let profile = daemon.sc(&["profile", "show", "default"]);
    assert!(profile.ok().contains("eth0:") && profile.ok().contains("root:"), "{profile:?}");
    daemon.sc(&["admin", "waitready", "--timeout", "10"]).ok();
    daemon.sc(&["admin", "init", "--auto"]).ok();
}

#[test]
fn keys_are_set_shown_and_unset() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1", "-c", "user.note=first"]).ok();
    assert_eq!(daemon.sc(&["config", "get", "c1", "user.note"]).ok(), "first");
    daemon.sc(&["config", "set", "c1", "user.note=second", "limits.processes=100"]).ok();
    assert_eq!(daemon.sc(&["config", "get", "c1", "user.note"]).ok(), "second");
    assert!(daemon.sc(&["config", "show", "c1"]).ok().contains("limits.processes: \"100\""));
    daemon.sc(&["config", "unset", "c1", "user.note"]).ok();
    assert_eq!(daemon.sc(&["config", "get", "c1", "user.note"]).ok(), "");
    assert!(!daemon.sc(&["config", "show", "c1"]).ok().contains("user.note"));
}

#[test]
fn what_is_shown_of_an_instance_serves_for_another() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1", "-c", "user.note=first"]).ok();
    let config =
        |name: &str| daemon.json(&["query", &format!("/1.0/instances/{name}")])["config"].clone();
    let shown = daemon.sc(&["config", "show", "c1"]).ok().to_owned();
    daemon.sc_with_input(&["init", BUSYBOX, "c2"], shown.as_bytes()).ok();
    // As LXD's own client sends it.
    let source = serde_json::json!({"type": "image", "alias": BUSYBOX});
    let post = serde_json::json!({"name": "c3", "source": source, "config": config("c1")});
    let sent = ["query", "--wait", "-X", "POST", "-d", &post.to_string(), "/1.0/instances"];
    daemon.sc(&sent).ok();
    for other in ["c2", "c3"] {
        let (first, other) = (config("c1"), config(other));
        for key in ["volatile.uuid", "volatile.eth0.hwaddr"] {
            assert!(other[key].is_string() && other[key] != first[key], "{key}: {other}");
        }
        assert_eq!(other["user.note"], "first");
    }
}

#[test]
fn environment_keys_reach_programs_inside() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "c1", "-c", "environment.GREETING=hello"]).ok();
    assert_eq!(daemon.inside("c1", "echo $GREETING"), "hello");
    assert!(daemon.inside("c1", "tr '\\0' '\\n' </proc/1/environ").contains("GREETING=hello"));
}

#[test]
fn an_ephemeral_instance_is_gone_when_it_stops() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "c1", "-e"]).ok();
    daemon.sc(&["stop", "c1"]).ok();
    until("deleted", Duration::from_secs(20), &"-".to_owned(), || status(&daemon, "c1"));
    daemon.sc(&["launch", BUSYBOX, "c2", "-e"]).ok();
    daemon.exec("c2", &["poweroff"]);
    until("deleted", Duration::from_secs(30), &"-".to_owned(), || status(&daemon, "c2"));
}

#[test]
fn who_has_stopped_an_ephemeral_instance_finds_its_name_free() {
    let daemon = Busybox::daemon();
    for how in [&["stop", "--force", "c1"][..], &["stop", "c1"]] {
        daemon.sc(&["launch", BUSYBOX, "c1", "-e"]).ok();
        daemon.sc(how).ok();
        assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "", "{how:?}");
    }
}

#[test]
fn instances_start_with_the_daemon_when_they_are_to() {
    let mut daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "yes", "-c", "boot.autostart=true"]).ok();
    daemon.sc(&["init", BUSYBOX, "no", "-c", "boot.autostart=false"]).ok();
    daemon.restart();
    daemon.sc(&["admin", "waitready", "--timeout", "20"]).ok();
    assert_eq!(status(&daemon, "yes"), "Running", "who waited finds it started");
    assert_eq!(status(&daemon, "no"), "Stopped");
}

#[test]
fn instances_start_and_stop_in_the_order_of_their_priorities() {
    let mut daemon = Busybox::daemon();
    for (name, keys) in [
        ("c1", ["boot.autostart.priority=-1", "boot.stop.priority=0"]),
        ("c2", ["boot.autostart.priority=7", "boot.stop.priority=5"]),
        ("c3", ["boot.autostart.delay=1", "boot.stop.priority=9"]),
    ] {
        let always = "boot.autostart=true";
        daemon.sc(&["init", BUSYBOX, name, "-c", always, "-c", keys[0], "-c", keys[1]]).ok();
    }
    daemon.sc(&["config", "set", "c1", "boot.host_shutdown_action=force-stop"]).ok();
    daemon.restart();
    daemon.sc(&["admin", "waitready", "--timeout", "20"]).ok();
    let started = |name| daemon.wait(daemon.client().instance(name)).unwrap().value.last_used_at;
    assert!(started("c2") < started("c3"));
    let next = started("c1").duration_since(started("c3"));
    assert!(next.as_secs() >= 1, "{next}");

    daemon.sc(&["admin", "shutdown", "--timeout", "60"]).ok();
    let log = std::fs::read_to_string(daemon.log_path()).unwrap();
    let stopped: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once("has stopped instance=")?.1.split(' ').next())
        .collect();
    assert_eq!(stopped, ["c3", "c2", "c1"]);
    daemon.wait_died();
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "20"]).ok();
    assert_eq!(daemon.exec("c2", &["ls", "/var/stopped"]).code, 0, "it was stopped in order");
    assert_ne!(daemon.exec("c1", &["ls", "/var/stopped"]).code, 0, "it was killed");
}

#[test]
fn a_shutdown_stops_the_guests_and_a_new_start_brings_them_back() {
    let mut daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    daemon.sc(&["init", BUSYBOX, "c2"]).ok();
    daemon.sc(&["admin", "shutdown", "--timeout", "60"]).ok();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    assert!(stat.contains(") Z "), "it has ended when the command ends: {stat}");
    daemon.wait_died();
    daemon.run_again();
    until("running again", Duration::from_secs(20), &"Running".to_owned(), || {
        status(&daemon, "c1")
    });
    assert_eq!(daemon.exec("c1", &["ls", "/var/stopped"]).code, 0, "it was stopped in order");
    assert_eq!(status(&daemon, "c2"), "Stopped", "what did not run does not");
}

#[test]
fn images_are_listed_named_and_deleted() {
    let daemon = Busybox::daemon();
    let image = daemon.json(&["image", "list", "-f", "json"])[0].clone();
    let fingerprint = image["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(fingerprint.len(), 64);
    let file = Busybox::new();
    daemon.sc(&["image", "alias", "create", "second", &fingerprint]).ok();
    assert!(daemon.sc(&["image", "alias", "list", "-f", "csv"]).ok().contains("second"));
    daemon.sc(&["image", "alias", "create", "second", &fingerprint]).refused("already exists");
    daemon.sc(&["image", "alias", "delete", "second"]).ok();
    let last_used = || daemon.json(&["image", "list", "-f", "json"])[0]["last_used_at"].clone();
    let never = last_used();
    daemon.sc(&["launch", &fingerprint[..12], "c1"]).ok();
    assert!(last_used().as_str() > never.as_str(), "{never}");
    assert!(daemon.sc(&["image", "info", BUSYBOX]).ok().contains(&fingerprint));
    daemon.sc(&["image", "delete", BUSYBOX]).ok();
    assert_eq!(daemon.sc(&["image", "list", "-f", "csv"]).ok(), "");
    daemon.sc(&["restart", "c1"]).ok();
    assert_eq!(daemon.inside("c1", "hostname"), "c1", "an instance outlives its image");
    drop(file);
}

#[test]
fn a_fingerprint_is_that_of_the_file_as_lxd_computes_it() {
    let daemon = Daemon::start();
    let image = Busybox::new();
    let path = image.unified();
    let output = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    let expected = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
    let imported = daemon.sc(&["image", "import", &path.display().to_string()]);
    assert!(imported.ok().contains(&expected), "{imported:?}");
    daemon.sc(&["image", "import", &path.display().to_string()]).refused("already exists");
}

#[test]
fn a_monitor_sees_what_happens() {
    let daemon = Busybox::daemon();
    let mut command = daemon.command(&["monitor", "--type", "lifecycle", "--format", "json"]);
    let path = daemon.scratch().join("events");
    let file = std::fs::File::create(&path).unwrap();
    let mut monitor = command.stdout(file).spawn().unwrap();
    let seen = |what: &str| {
        eventually(what, Duration::from_secs(20), || {
            std::fs::read_to_string(&path).unwrap().contains(what).then_some(())
        });
    };
    // Until it listens, events are missed.
    eventually("the monitor listens", Duration::from_secs(20), || {
        daemon.sc(&["profile", "create", "p1"]).ok();
        daemon.sc(&["profile", "delete", "p1"]).ok();
        (!std::fs::read_to_string(&path).unwrap().is_empty()).then_some(())
    });
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    ["instance-created", "instance-started"].iter().for_each(|what| seen(what));
    daemon.sc(&["delete", "--force", "c1"]).ok();
    ["instance-shutdown", "instance-deleted"].iter().for_each(|what| seen(what));
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

#[test]
fn a_monitor_ends_when_nobody_reads_it_any_more() {
    let daemon = Daemon::start();
    let mut command = daemon.command(&["monitor"]);
    let mut monitor = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(monitor.stdout.take());
    let ended = || monitor.try_wait().unwrap().and_then(|status| status.code());
    assert_eq!(eventually("the monitor ends", Duration::from_secs(20), ended), 141);
}

#[test]
fn a_monitor_tells_that_the_daemon_has_ended() {
    let mut daemon = Daemon::start();
    for (killed, told) in [
        (false, "Error: the daemon has ended\n"),
        (
            true,
            "Error: the connection to the daemon broke during GET /1.0/events: the daemon closed it\n",
        ),
    ] {
        let mut command = daemon.command(&["monitor", "--format", "json"]);
        let path = daemon.scratch().join("events");
        let file = std::fs::File::create(&path).unwrap();
        let monitor = command.stdout(file).stderr(std::process::Stdio::piped()).spawn().unwrap();
        eventually("the monitor listens", Duration::from_secs(20), || {
            daemon.sc(&["profile", "create", "p1"]).ok();
            daemon.sc(&["profile", "delete", "p1"]).ok();
            (!std::fs::read_to_string(&path).unwrap().is_empty()).then_some(())
        });
        if killed {
            daemon.kill9()
        } else {
            daemon.end()
        }
        let output = monitor.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(1), told)
        );
        daemon.run_again();
    }
}

#[test]
fn a_list_has_the_columns_and_formats_that_are_asked_for() {
    let daemon = Busybox::running();
    daemon.sc(&["init", BUSYBOX, "c2"]).ok();
    assert_eq!(daemon.sc(&["list", "-c", "ns", "-f", "csv"]).ok(), "c1,RUNNING\nc2,STOPPED");
    let table = daemon.sc(&["list"]);
    assert!(table.ok().contains("NAME") && !table.ok().contains('\u{1b}'), "{table:?}");
    let one = state(&daemon, "c1").unwrap();
    assert!(one["state"]["processes"].as_u64().unwrap() > 0, "{one}");
    assert!(one["state"]["memory"]["usage"].as_u64().unwrap() > 0, "{one}");
    assert!(daemon.sc(&["info", "c1"]).ok().contains("c1"));
    daemon.sc(&["info", "c1", "--show-log"]).ok();
    daemon.sc(&["operation", "list"]).ok();
    daemon.sc(&["version"]).ok();
    daemon.sc(&["network", "list"]).ok();
}

#[test]
fn changes_made_at_the_same_time_are_all_kept() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    let change = |n: u32| {
        let body = format!(r#"{{"config":{{"user.k{n}":"v"}}}}"#);
        daemon.command(&["query", "-X", "PATCH", "-d", &body, "/1.0/instances/c1"]).spawn().unwrap()
    };
    let changes: Vec<_> = (0..8).map(change).collect();
    assert!(changes.into_iter().all(|mut child| child.wait().unwrap().success()));
    let config = daemon.json(&["query", "/1.0/instances/c1"])["config"].clone();
    let kept = config.as_object().unwrap().keys().filter(|key| key.starts_with("user.k")).count();
    assert_eq!(kept, 8, "{config}");
}

#[test]
fn an_image_of_very_many_names_is_deleted_with_all_of_them() {
    let daemon = Busybox::daemon();
    let image = daemon.json(&["image", "list", "-f", "json"])[0].clone();
    let fingerprint = image["fingerprint"].as_str().unwrap();
    for number in 0..150 {
        let alias = serde_json::json!({"name": format!("n{number}"), "target": fingerprint});
        let alias = alias.to_string();
        daemon.sc(&["query", "-X", "POST", "-d", &alias, "/1.0/images/aliases"]).ok();
    }
    daemon.sc(&["image", "delete", fingerprint]).ok();
    assert_eq!(daemon.sc(&["image", "alias", "list", "-f", "csv"]).ok(), "");
}

#[test]
fn an_instance_is_changed_right_after_it_was_stopped_by_force() {
    let daemon = Busybox::daemon();
    for number in 0..5 {
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        daemon.sc(&["stop", "--force", "c1"]).ok();
        daemon.sc(&["config", "set", "c1", &format!("user.number={number}")]).ok();
        daemon.sc(&["delete", "c1"]).ok();
    }
}

const PRESEED: &str = "
config: {}
storage_pools:
- name: second
  driver: dir
profiles:
- name: default
  config: {user.seeded: yes it is}
- name: small
  devices:
    root: {type: disk, path: /, pool: second}
";

#[test]
fn a_preseed_makes_what_it_names_once_and_takes_back_what_it_cannot_finish() {
    let daemon = Daemon::start();
    let preseed =
        |text: &str| daemon.sc_with_input(&["admin", "init", "--preseed"], text.as_bytes());
    let before = HostSnapshot::of(&daemon.dir());
    let broken = PRESEED.to_owned() + "- name: bad\n  config: {limits.memory: much}\n";
    preseed(&broken).refused("profile bad: ");
    assert_eq!(HostSnapshot::of(&daemon.dir()).more_than(&before), Vec::<String>::new());
    assert_eq!(daemon.sc(&["profile", "get", "default", "user.seeded"]).ok(), "");

    let told = preseed(PRESEED);
    for line in ["Storage pool second created", "Profile default updated", "Profile small created"]
    {
        assert!(told.ok().contains(line), "{told:?}");
    }
    assert_eq!(daemon.sc(&["profile", "get", "default", "user.seeded"]).ok(), "yes it is");
    assert_eq!(preseed(PRESEED).ok(), "", "the same again changes nothing");
    let auto = "networks: [{name: scseeded, config: {ipv4.address: auto, ipv6.address: auto}}]";
    assert_eq!(preseed(auto).ok(), "Network scseeded created");
    assert_eq!(preseed(auto).ok(), "", "what came of auto is left alone");
    daemon.sc(&["network", "delete", "scseeded"]).ok();
    preseed("storage_pools: [{name: second, driver: overlay}]").refused("storage pool second: ");
    preseed("networks: [{name: default, mtu: 1}]").refused("unknown field `mtu`");
    preseed("config: {core.https_address: any}").refused("core.https_address");
    preseed("# nothing\n").refused("says nothing");
}

#[test]
fn what_cannot_be_changed_of_an_instance_is_refused_by_name_and_a_null_unsets() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1", "-c", "user.a=1", "-c", "user.b=1"]).ok();
    let ask = |method: &str, body: &str| {
        daemon.sc(&["query", "--wait", "-X", method, "-d", body, "/1.0/instances/c1"])
    };
    ask("PUT", r#"{"architecture":"s390x"}"#).refused("\"architecture\"");
    ask("PATCH", r#"{"config":{"volatile.uuid":""}}"#).refused("volatile.uuid");
    daemon.sc(&["config", "unset", "c1", "volatile.uuid"]).refused("volatile.uuid");
    let power = "volatile.last_state.power";
    ask("PATCH", r#"{"config":{"volatile.last_state.power":"x"}}"#).refused(power);
    daemon.sc(&["config", "set", "c1", "volatile.last_state.power=STOPPED"]).refused(power);
    ask("PATCH", r#"{"config":{"user.a":null}}"#).ok();
    assert_eq!(daemon.sc(&["config", "get", "c1", "user.b"]).ok(), "1");
    ask("PUT", r#"{"architecture":"amd64","config":{"user.b":null}}"#).ok();
    let config = daemon.json(&["query", "/1.0/instances/c1"])["config"].clone();
    assert!(config.as_object().unwrap().keys().all(|key| !key.starts_with("user.")), "{config}");
}
