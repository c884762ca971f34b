//! Every field of every request, with values that mean harm: each is taken or refused by name, the
//! daemon lives on, and nothing is left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use sc_api::{
    ImageAliasPut, ImageAliasesPost, ImagePut, ImageSource, ImagesPost, InstanceConsolePost,
    InstanceExecPost, InstancePatch, InstancePut, InstanceSource, InstanceStatePut, InstancesPost,
    NetworksPost, NewAlias, ProfilePatch, ProfilePut, ProfilesPost, StateAction, StoragePoolsPost,
};
use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, HostSnapshot, report, until};
use serde::Serialize;
use serde_json::{Value, json};

/// The values that every field is given.
fn hostile() -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5e300),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({"x": {"y": 1}}),
        json!({"../x": "y", "": "", "\0": "\0"}),
        json!({"x": {"type": "disk", "": "\0"}}),
    ];
    let texts =
        ["", " ", "\0", "\u{1b}[31m", "a\nb", "..", "/", "../../x", "ä\u{202e}☃", "-1", "%s%n"];
    values.extend(texts.map(Value::from));
    values.push("9".repeat(40).into());
    values.push("x".repeat(100_000).into());
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    values.push(serde_json::from_str(&deep).unwrap());
    values
}

/// A request that is right, of which one field at a time is changed.
struct Case {
    method: &'static str,
    path: String,
    body: Value,
}

fn case(method: &'static str, path: impl Into<String>, body: impl Serialize) -> Case {
    Case { method, path: path.into(), body: serde_json::to_value(body).unwrap() }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn settings() -> InstancePut {
    InstancePut {
        architecture: "x86_64".into(),
        description: "words".into(),
        config: map(&[("user.a", "1"), ("limits.memory", "64MiB")]),
        devices: BTreeMap::from([(
            "data1".into(),
            map(&[("type", "disk"), ("path", "/d"), ("source", "/usr/share")]),
        )]),
        profiles: Some(vec!["default".into()]),
        ..InstancePut::default()
    }
}

fn cases(fingerprint: &str) -> Vec<Case> {
    let put = settings();
    let patch = InstancePatch {
        description: Some("words".into()),
        config: put.config.clone(),
        devices: put.devices.clone(),
        profiles: put.profiles.clone(),
        ephemeral: Some(false),
        architecture: Some("x86_64".into()),
        stateful: Some(false),
    };
    let profile = ProfilePut {
        description: "words".into(),
        config: put.config.clone(),
        devices: put.devices.clone(),
    };
    let source = InstanceSource {
        source_type: "image".into(),
        alias: BUSYBOX.into(),
        project: "default".into(),
        mode: "pull".into(),
        ..InstanceSource::default()
    };
    let mut new = InstancesPost::new(&"new".parse().unwrap(), source);
    new.put = put.clone();
    let target = fingerprint.to_owned();
    vec![
        case("POST", "/1.0/instances", new),
        case("PUT", "/1.0/instances/c2", put),
        case("PATCH", "/1.0/instances/c2", patch),
        case(
            "PUT",
            "/1.0/instances/c1/state",
            InstanceStatePut {
                action: StateAction::Start,
                timeout: 1,
                force: false,
                stateful: false,
            },
        ),
        case(
            "POST",
            "/1.0/instances/c1/exec",
            InstanceExecPost {
                command: vec!["true".into()],
                wait_for_websocket: true,
                environment: map(&[("A", "1")]),
                cwd: "/".into(),
                ..InstanceExecPost::default()
            },
        ),
        case("POST", "/1.0/instances/c1/console", InstanceConsolePost::default()),
        case(
            "POST",
            "/1.0/profiles",
            ProfilesPost { name: "new".parse().unwrap(), put: profile.clone() },
        ),
        case("PUT", "/1.0/profiles/p1", profile.clone()),
        case(
            "PATCH",
            "/1.0/profiles/p1",
            ProfilePatch {
                description: Some(profile.description),
                config: profile.config,
                devices: profile.devices,
            },
        ),
        case(
            "POST",
            "/1.0/networks",
            NetworksPost {
                name: "scnew0".parse().unwrap(),
                // One that is refused, so that no bridge need be made for each value.
                network_type: "bridge".into(),
                description: String::new(),
                config: map(&[("ipv4.address", "none"), ("ipv6.address", "nonsense")]),
            },
        ),
        case(
            "POST",
            "/1.0/storage-pools",
            StoragePoolsPost {
                name: "new".parse().unwrap(),
                driver: "dir".into(),
                description: "words".into(),
                config: BTreeMap::new(),
            },
        ),
        case(
            "POST",
            "/1.0/images",
            ImagesPost {
                // One that there is not, so that none is built.
                source: ImageSource {
                    protocol: "packages".into(),
                    alias: "99".into(),
                    project: "default".into(),
                    mode: "pull".into(),
                    ..ImageSource::default()
                },
                aliases: vec![NewAlias {
                    name: "new".parse().unwrap(),
                    description: "words".into(),
                }],
                ..ImagesPost::default()
            },
        ),
        case(
            "PUT",
            format!("/1.0/images/{fingerprint}"),
            ImagePut { properties: map(&[("os", "x")]), ..ImagePut::default() },
        ),
        case(
            "POST",
            "/1.0/images/aliases",
            ImageAliasesPost {
                name: "new".parse().unwrap(),
                description: "words".into(),
                target: target.clone(),
            },
        ),
        case(
            "PUT",
            format!("/1.0/images/aliases/{BUSYBOX}"),
            ImageAliasPut { description: "words".into(), target },
        ),
        case("PUT", "/1.0", json!({"config": {"core.a": "1"}})),
    ]
}

/// The pointers to every field of a request, those within fields too.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, v)| (n.to_string(), v)).collect(),
        _ => return,
    };
    for (key, child) in children {
        let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(pointer.clone());
        fields(child, &pointer, found);
    }
}

/// What came of a request: its HTTP status, and the text of its failure.
struct Outcome {
    status: u16,
    error: String,
    created: Option<String>,
}

fn send(daemon: &Daemon, method: &str, path: &str, body: &Value) -> Outcome {
    let client = daemon.client();
    daemon.wait(async {
        let method = method.parse().unwrap();
        let answer = client.raw(method, path, Some(body)).await.expect("an answer");
        let envelope: Value = serde_json::from_slice(&answer.body).expect("the API's envelope");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut outcome = Outcome {
            status: answer.status,
            error: text(&envelope["error"]),
            created: answer
                .headers
                .get("location")
                .map(|at| at.to_str().expect("a path").to_owned()),
        };
        if answer.status == 202 {
            let at = text(&envelope["operation"]);
            let class = text(&envelope["metadata"]["class"]);
            let resources = &envelope["metadata"]["resources"]["instances"][0];
            outcome.created = resources.as_str().map(str::to_owned);
            if class == "task" {
                let ended: Value = client.get(&format!("{at}/wait")).await.expect("it ends");
                outcome.error = text(&ended["err"]);
            }
        }
        outcome
    })
}

/// Takes away what a request has created.
fn tidy(daemon: &Daemon, method: &str, outcome: &Outcome) {
    let Some(path) = &outcome.created else { return };
    if method != "POST" || !outcome.error.is_empty() || path.starts_with("/1.0/instances/c1") {
        return;
    }
    if path.starts_with("/1.0/instances/") {
        // It may run, if that was asked for.
        let stop = json!({"action": "stop", "force": true});
        send(daemon, "PUT", &format!("{path}/state"), &stop);
    }
    let deleted = send(daemon, "DELETE", path, &Value::Null);
    assert!(deleted.error.is_empty(), "delete {path}: {}", deleted.error);
}

/// What is wrong with the outcome of a request that had a bad field.
fn fault(outcome: &Outcome, usual: &Outcome, pointer: &str) -> Option<String> {
    let Outcome { status, error, .. } = outcome;
    let told = error.is_empty() || *error == usual.error || names(error, pointer);
    let fine = *status < 500 && told && error.len() < 3000 && !error.contains("panic");
    (!fine).then(|| format!("{status} {error}"))
}

/// Whether a refusal tells which field it is about: by its name, or by what it stands for.
fn names(error: &str, pointer: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let error = plain(error);
    let fields: Vec<&str> = pointer.split('/').filter(|word| word.len() > 2).collect();
    let field = *fields.last().expect("a field has a name");
    let stands_for: &[&str] = match field {
        "alias" | "fingerprint" | "target" => &["image"],
        "config" => &["key", "option"],
        "devices" | "profiles" => &["device", "profile"],
        _ => &[],
    };
    error.contains(&plain(field)) || stands_for.iter().any(|word| error.contains(word))
}

#[test]
fn every_field_takes_or_refuses_every_value_and_nothing_is_left() {
    let daemon = Busybox::daemon();
    let before = HostSnapshot::of(&daemon.dir());
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    daemon.sc(&["init", BUSYBOX, "c2"]).ok();
    daemon.sc(&["profile", "create", "p1"]).ok();
    let fingerprint = daemon.json(&["image", "list", "-f", "json"])[0]["fingerprint"].clone();
    let (mut sent, mut wrong) = (0, Vec::new());
    for Case { method, path, body } in cases(fingerprint.as_str().unwrap()) {
        // Some requests are refused as they are, as to be sent a thousand times without effect.
        let usual = send(&daemon, method, &path, &body);
        tidy(&daemon, method, &usual);
        let mut pointers = Vec::new();
        fields(&body, "", &mut pointers);
        for pointer in pointers {
            for value in hostile() {
                let mut changed = body.clone();
                *changed.pointer_mut(&pointer).unwrap() = value.clone();
                let outcome = send(&daemon, method, &path, &changed);
                sent += 1;
                if let Some(fault) = fault(&outcome, &usual, &pointer) {
                    let value: String = value.to_string().chars().take(60).collect();
                    wrong.push(format!("{method} {path} {pointer} = {value}: {fault}"));
                }
                tidy(&daemon, method, &outcome);
            }
        }
    }
    report("hostile fields", &format!("{sent} requests"));
    assert_eq!(wrong, Vec::<String>::new());
    daemon.sc(&["exec", "c1", "--", "true"]).ok();
    daemon.sc(&["delete", "--force", "c1", "c2"]).ok();
    let log = std::fs::read_to_string(daemon.log_path()).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    until("nothing is left", Duration::from_secs(20), &Vec::new(), || {
        HostSnapshot::of(&daemon.dir()).more_than(&before)
    });
}

#[test]
fn every_name_in_a_path_is_found_or_refused() {
    let daemon = Daemon::start();
    let before = HostSnapshot::of(&daemon.dir());
    let long = "x".repeat(5000);
    let names = [
        "..",
        ".",
        "%2e%2e",
        "%00",
        "%2F",
        "..%2F..%2Fetc",
        "%FF",
        "%1b[31m",
        "%0a",
        "%20",
        "%C3%A4",
        "-1",
        "%25s",
        &long,
    ];
    let places = [
        "instances/{}",
        "instances/{}/state",
        "instances/{}/exec",
        "instances/{}/console",
        "instances/{}/logs",
        "instances/{}/logs/{}",
        "containers/{}",
        "images/{}",
        "images/aliases/{}",
        "profiles/{}",
        "networks/{}",
        "networks/{}/state",
        "networks/{}/leases",
        "storage-pools/{}",
        "storage-pools/{}/resources",
        "projects/{}",
        "operations/{}",
        "operations/{}/wait",
        "operations/{}/websocket",
        "instances?recursion={}",
        "instances?filter=name+is+{}",
        "instances?project={}",
        "operations/x/wait?timeout={}",
        "{}",
    ];
    let mut wrong = Vec::new();
    for place in places {
        for name in names {
            for method in ["GET", "PUT", "PATCH", "POST", "DELETE"] {
                let path = format!("/1.0/{}", place.replace("{}", name));
                // A new instance takes no notice of what a list would be filtered by.
                if place.contains('?') && method == "POST" {
                    continue;
                }
                let Outcome { status, error, .. } = send(&daemon, method, &path, &json!({}));
                if !(400..500).contains(&status) || error.is_empty() || error.len() > 3000 {
                    let path: String = path.chars().take(60).collect();
                    let start: String = error.chars().take(200).collect();
                    wrong.push(format!("{method} {path}: {status} {} {start}", error.len()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(HostSnapshot::of(&daemon.dir()).more_than(&before), Vec::<String>::new());
}
