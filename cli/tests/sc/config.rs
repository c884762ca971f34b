//! Keys, devices and profiles.

use serde_json::{Value, json};

use crate::harness::{Cli, with_input};

#[test]
fn keys_are_set_read_and_removed() {
    let cli = Cli::new();
    cli.ok(&["config", "set", "web1", "user.a=1", "user.b=2"]);
    let put = cli.fake.last("PUT /1.0/instances/web1");
    assert_eq!(put.body["config"], json!({"user.owner": "ann", "user.a": "1", "user.b": "2"}));
    assert_eq!(put.headers["if-match"], "\"etag-1\"");
    cli.ok(&["config", "set", "web1", "user.a", "-1"]);
    assert_eq!(cli.fake.last("PUT").body["config"]["user.a"], "-1");
    cli.ok(&["config", "unset", "web1", "user.owner"]);
    assert_eq!(cli.fake.last("PUT").body["config"], json!({}));
    assert_eq!(
        cli.error(&["config", "unset", "web1", "user.none"]),
        "Error: the key \"user.none\" is not set"
    );
    assert_eq!(cli.ok(&["config", "get", "web1", "user.owner"]), "ann\n");
    assert_eq!(cli.ok(&["config", "get", "web1", "user.none"]), "\n");
    let shown: Value = serde_saphyr::from_str(&cli.ok(&["config", "show", "web1"])).unwrap();
    assert_eq!(shown["profiles"], json!(["default"]));
}

#[test]
fn a_change_that_another_client_overtakes_is_made_anew_but_not_an_edit() {
    let cli = Cli::new();
    cli.ok(&["config", "set", "web1", "user.contended=1"]);
    let asked = cli.fake.lines();
    let count = |line: &str| asked.iter().filter(|asked| asked.starts_with(line)).count();
    assert_eq!((count("GET /1.0/instances/web1"), count("PUT /1.0/instances/web1")), (3, 3));
    let error = cli.error(&["config", "set", "web1", "user.contended=always"]);
    let said = "instance web1 is changed by other clients all the time: try again later";
    assert_eq!(error, format!("Error: {said}"));
    let edit = cli.command(&["config", "edit", "web1"]);
    let ran = with_input(edit, "config: {user.contended: 2}");
    let said =
        "instance web1 was changed by another client meanwhile: do it again on what it is now";
    assert_eq!(ran.stderr, format!("Error: {said}\n"));
}

#[test]
fn what_is_shown_can_be_edited_from_input() {
    let cli = Cli::new();
    let shown = cli.ok(&["config", "show", "web1"]);
    let ran = with_input(cli.command(&["config", "edit", "web1"]), &shown.replace("ann", "bob"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(cli.fake.last("PUT").body["config"]["user.owner"], "bob");
    let shown = cli.ok(&["profile", "show", "default"]);
    let ran = with_input(cli.command(&["profile", "edit", "default"]), &shown);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn an_empty_value_unsets_its_key() {
    let cli = Cli::new();
    cli.ok(&["config", "set", "web1", "user.owner=", "user.none="]);
    assert_eq!(cli.fake.last("PUT").body["config"], json!({}));
    cli.ok(&["profile", "set", "default", "user.none", ""]);
    assert_eq!(cli.fake.last("PUT").body["config"], json!({}));
    assert!(cli.error(&["config", "set", "web1", "user.a=1", "no.key="]).contains("no.key"));
}

#[test]
fn a_key_that_there_is_not_is_no_empty_line() {
    let cli = Cli::new();
    let error = cli.error(&["config", "get", "web1", "limits.memroy"]);
    let said = "Error: Unknown configuration key: limits.memroy (did you mean \"limits.memory\"?)";
    assert_eq!(error, said);
    assert!(cli.error(&["profile", "get", "default", "some.unknown"]).contains("some.unknown"));
    assert_eq!(cli.ok(&["config", "get", "web1", "limits.memory"]), "\n");
}

#[test]
fn null_is_no_value() {
    let cli = Cli::new();
    let text = "config: {user.owner: ~, user.a: null, user.b: 1}\ndevices: ~\nprofiles: [default]\n\
                description: null\n";
    let ran = with_input(cli.command(&["config", "edit", "web1"]), text);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let put = cli.fake.last("PUT").body;
    assert_eq!(put["config"], json!({"user.owner": "", "user.a": "", "user.b": "1"}));
    assert_eq!((&put["devices"], &put["description"]), (&json!({}), &json!("")));
    let text = "config: ~\ndevices: {root: {size: ~, path: /}, eth0: ~}\nused_by: ~\n";
    let ran = with_input(cli.command(&["profile", "edit", "default"]), text);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let devices = json!({"root": {"path": "/"}, "eth0": {}});
    assert_eq!(cli.fake.last("PUT /1.0/profiles").body["devices"], devices);
    let ran = with_input(cli.command(&["init", "bb"]), "config: {user.a: ~}\nephemeral: ~\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(cli.fake.last("POST").body["config"], json!({"user.a": ""}));
}

#[test]
fn an_empty_text_wipes_nothing() {
    let cli = Cli::new();
    for words in [&["config", "edit", "web1"], &["profile", "edit", "default"]] {
        let ran = cli.run(words);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(" is empty, ") && ran.stderr.lines().count() == 1, "{ran:?}");
    }
    assert!(!cli.fake.lines().iter().any(|line| line.starts_with("PUT")));
}

#[test]
fn a_text_of_a_pipe_that_the_server_refuses_leaves_no_file() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    let mut command = cli.command(&["config", "edit", "web1"]);
    command.env("TMPDIR", folder.path());
    let ran = with_input(command, "config:\n  no.key: 1\n");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stderr, "Error: Unknown configuration key: no.key: see sc config set --help\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn yaml_that_cannot_be_read_changes_nothing() {
    let cli = Cli::new();
    for text in ["config: [", "confg:\n  user.a: 1\n", "config:\n  user.a: [1]\n"] {
        let ran = with_input(cli.command(&["config", "edit", "web1"]), text);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let start = "Error: the YAML for instance web1 cannot be read: ";
        assert!(ran.stderr.starts_with(start), "{ran:?}");
    }
    assert!(!cli.fake.lines().iter().any(|line| line.starts_with("PUT")));
}

#[test]
fn devices_are_added_overridden_and_removed() {
    let cli = Cli::new();
    cli.ok(&["config", "device", "add", "web1", "data", "disk", "source=/srv", "path=/srv"]);
    let data = json!({"type": "disk", "source": "/srv", "path": "/srv"});
    assert_eq!(cli.fake.last("PUT").body["devices"], json!({"data": data}));
    cli.ok(&["config", "device", "override", "web1", "root", "size=2GiB"]);
    assert_eq!(cli.fake.last("PUT").body["devices"]["root"]["pool"], "default");
    let error = cli.error(&["config", "device", "remove", "web1", "nope"]);
    assert_eq!(error, "Error: the instance \"web1\" has no device \"nope\" of its own");
}

#[test]
fn profiles_are_added_to_instances_once() {
    let cli = Cli::new();
    cli.ok(&["profile", "add", "web1", "p1"]);
    assert_eq!(cli.fake.last("PUT").body["profiles"], json!(["default", "p1"]));
    assert!(cli.error(&["profile", "add", "web1", "default"]).contains("already"));
    cli.ok(&["profile", "remove", "web1", "default"]);
    assert_eq!(cli.fake.last("PUT").body["profiles"], json!([]));
    assert_eq!(cli.ok(&["profile", "create", "p1", "limits.cpu=1"]), "Profile p1 created\n");
    assert_eq!(cli.fake.last("POST").body["config"], json!({"limits.cpu": "1"}));
    assert!(cli.error(&["profile", "create", "../x"]).contains("Invalid profile name"));
}

#[test]
fn a_profile_is_changed_as_an_instance_is() {
    let cli = Cli::new();
    cli.ok(&["profile", "set", "default", "limits.cpu", "2"]);
    let put = cli.fake.last("PUT /1.0/profiles/default");
    assert_eq!(put.body["config"]["limits.cpu"], "2");
    assert_eq!(put.headers["if-match"], "\"etag-1\"");
    assert_eq!(
        cli.error(&["profile", "unset", "default", "user.none"]),
        "Error: the key \"user.none\" is not set"
    );
    let ran = with_input(cli.command(&["profile", "edit", "default"]), "name: other\n");
    assert_eq!(ran.stderr, "Error: the YAML is of profile \"other\", not of \"default\"\n");
}

#[test]
fn devices_of_a_profile_are_added_set_and_removed() {
    fn device<'w>(words: &[&'w str]) -> Vec<&'w str> {
        [&["profile", "device"], words].concat()
    }
    let cli = Cli::new();
    assert_eq!(cli.ok(&device(&["list", "default"])), "eth0\nroot\n");
    assert!(cli.ok(&device(&["show", "default"])).contains("root:\n  path: /\n"));
    assert_eq!(cli.ok(&device(&["get", "default", "root", "pool"])), "default\n");
    assert_eq!(cli.ok(&device(&["get", "default", "root", "source"])), "\n");
    assert_eq!(
        cli.error(&device(&["get", "default", "root", "no.key"])),
        "Error: unknown key \"no.key\" for type disk"
    );
    cli.ok(&device(&["unset", "default", "root", "pool"]));
    assert_eq!(cli.fake.last("PUT").body["devices"]["root"].get("pool"), None);
    assert!(cli.error(&device(&["unset", "default", "root", "size"])).contains("is not set"));
    cli.ok(&device(&["set", "default", "root", "size=2GiB"]));
    assert_eq!(cli.fake.last("PUT").body["devices"]["root"]["size"], "2GiB");
    cli.ok(&device(&["remove", "default", "root"]));
    assert_eq!(cli.fake.last("PUT").body["devices"].get("root"), None);
    assert_eq!(
        cli.error(&device(&["add", "default", "root", "disk"])),
        "Error: the profile \"default\" has a device \"root\" already: `device set` changes it"
    );
    assert_eq!(
        cli.error(&device(&["set", "default", "nope", "a=b"])),
        "Error: the profile \"default\" has no device \"nope\""
    );
    assert_eq!(
        cli.error(&["config", "device", "set", "web1", "nope", "a=b"]),
        "Error: the instance \"web1\" has no device \"nope\" of its own; `override` changes a profile's"
    );
}
