//! The API as HTTP: connections, bodies, methods and parameters that no decent client sends.

mod fields;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, patient, until};

/// More than the daemon keeps open of those that say nothing.
const SILENT: usize = 4000;

fn connect(daemon: &Daemon) -> UnixStream {
    UnixStream::connect(daemon.dir().join("unix.socket")).unwrap()
}

/// Sends a request as it stands and returns the answer as it came.
fn ask(daemon: &Daemon, head: &str, body: &[u8]) -> String {
    let mut stream = connect(daemon);
    let head = format!(
        "{head} HTTP/1.1\r\nHost: sc\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).expect("a client that reads no answer yet may finish its request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn refused(daemon: &Daemon, head: &str, status: u16, part: &str) {
    let answer = ask(daemon, head, b"");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).expect("the API's envelope");
    assert_eq!(body["error_code"], status, "{head}");
    assert!(body["error"].as_str().unwrap().contains(part), "{head}: {body}");
}

/// How many connections the daemon has: the kernel's table shows its end of each under the path that it
/// listens at, with the listener.
fn connections(daemon: &Daemon) -> usize {
    let path = daemon.dir().join("unix.socket").display().to_string();
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    table.lines().filter(|line| line.ends_with(&path)).count() - 1
}

#[test]
fn clients_that_say_nothing_or_too_slowly_keep_nobody_out() {
    let daemon = Daemon::start();
    let mut monitor = daemon.command(&["monitor", "--type", "lifecycle"]);
    let mut monitor = monitor.stdout(std::process::Stdio::piped()).spawn().unwrap();
    daemon.sc(&["list"]).ok();
    let monitor_alone = || connections(&daemon) == 1;
    until("the monitor is connected alone", Duration::from_secs(5), &true, monitor_alone);

    let silent: Vec<_> = (0..SILENT).map(|_| connect(&daemon)).collect();
    let mut slow = connect(&daemon);
    slow.write_all(b"GET /1.0 HT").unwrap();
    let took = daemon.sc(&["list"]).took;
    assert!(took < patient(Duration::from_secs(5)), "{took:?}");
    // Well before the time that the silent ones have.
    let few = || connections(&daemon) < 1100;
    until("those that make room are closed", Duration::from_secs(4), &true, few);

    until("they are closed", Duration::from_secs(40), &true, monitor_alone);
    slow.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(slow.read(&mut [0]).unwrap_or_default(), 0, "the slow one was given up");
    drop(silent);

    // A listener is silent for as long as nothing happens, and keeps its place.
    daemon.sc(&["profile", "create", "p1"]).ok();
    let mut event = vec![0; 4096];
    let length = monitor.stdout.as_mut().unwrap().read(&mut event).unwrap();
    let event = String::from_utf8_lossy(&event[..length]).into_owned();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    assert!(event.contains("profile-created"), "{event}");
}

#[test]
fn a_body_that_is_too_large_is_told_the_limit() {
    let daemon = Daemon::start();
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(12 << 20));
    for path in ["/1.0/instances", "/1.0/profiles", "/1.0/nowhere"] {
        let answer = ask(&daemon, &format!("POST {path}"), body.as_bytes());
        match path {
            "/1.0/nowhere" => assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}"),
            _ => assert!(answer.contains("too large: 8 MiB are the most"), "{answer}"),
        }
    }
    let config = serde_json::json!({"name": "p1", "config": {"user.a": "x".repeat(3 << 20)}});
    let answer = ask(&daemon, "POST /1.0/profiles", config.to_string().as_bytes());
    assert!(answer.contains("too much to be kept"), "{answer}");
    assert_eq!(daemon.sc(&["profile", "list", "-f", "csv"]).ok().lines().count(), 1);
}

#[test]
fn methods_and_parameters_are_refused_by_name() {
    let daemon = Daemon::start();
    refused(&daemon, "DELETE /1.0", 405, "DELETE is not supported on /1.0");
    refused(&daemon, "PUT /1.0/instances", 405, "PUT");
    refused(&daemon, "PATCH /1.0/networks/scbr0", 405, "PATCH");
    refused(&daemon, "GET /1.0/instances?recursion=-1", 400, "recursion");
    refused(&daemon, "GET /1.0/profiles?recursion=one", 400, "recursion");
    refused(&daemon, "GET /1.0/images?recursion=1&recursion=2", 400, "recursion");
    refused(&daemon, "GET /1.0/instances?filter=name", 400, "filter");
    refused(&daemon, "GET /1.0/instances?project=other", 404, "\"other\"");
    refused(&daemon, "POST /1.0/instances?target=other", 400, "\"target\"");
    refused(&daemon, "GET /1.0/instances/%FF", 400, "path");
    refused(&daemon, "GET /1.0/events", 400, "websocket");
    refused(&daemon, "GET /1.0/events?type=bogus", 400, "type: \"bogus\" is none of");
    refused(&daemon, "GET /1.0/operations/none/wait?timeout=soon", 400, "timeout");
    refused(&daemon, "GET /1.0/operations/none/wait?timeout=-1", 404, "\"none\"");
}

#[test]
fn what_a_source_says_in_vain_is_refused_by_name() {
    let daemon = Busybox::daemon();
    for (source, part) in [
        (r#"["image","bb"]"#, "an object"),
        (r#"{"type":"image","alias":"bb","project":"other"}"#, "source.project"),
        (r#"{"type":"image","alias":"bb","mode":"push"}"#, "source.mode"),
        (r#"{"type":"image","alias":"bb","properties":{"os":"x"}}"#, "source.properties"),
        (r#"{"type":"none","alias":"bb"}"#, "source.alias"),
        (r#"{"type":"none","server":"x"}"#, "source.server"),
    ] {
        let body = format!(r#"{{"name":"c1","source":{source}}}"#);
        daemon.sc(&["query", "-X", "POST", "-d", &body, "/1.0/instances"]).refused(part);
    }
    let body = r#"{"source":{"protocol":"packages","alias":"12","mode":"push"}}"#;
    daemon.sc(&["query", "-X", "POST", "-d", body, "/1.0/images"]).refused("source.mode");
    assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), "");
}

#[test]
fn a_change_without_a_body_or_with_a_foreign_guard_is_not_made() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    daemon.sc(&["config", "set", "c1", "user.a=1"]).ok();
    let alias = format!("images/aliases/{BUSYBOX}");
    for path in ["instances/c1", "instances/c1/state", "profiles/default", &alias] {
        refused(&daemon, &format!("PUT /1.0/{path}"), 400, "a PUT without a body");
    }
    refused(&daemon, "PATCH /1.0/profiles/default", 400, "a PATCH without a body");
    for path in ["instances/c1", "profiles/default"] {
        let mut stream = connect(&daemon);
        let head = format!("PUT /1.0/{path} HTTP/1.1\r\nHost: sc\r\nConnection: close\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"If-Match: \"\xe9\"\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 412 "), "{path}: {answer}");
    }
    assert_eq!(daemon.sc(&["config", "get", "c1", "user.a"]).ok(), "1");
    daemon.sc(&["profile", "device", "get", "default", "root", "path"]).ok();
}

#[test]
fn a_websocket_wants_its_secret_and_a_poll_ends_with_its_client() {
    let daemon = Busybox::running();
    let body = br#"{"command":["sleep","99"],"wait-for-websocket":true}"#;
    let answer = ask(&daemon, "POST /1.0/instances/c1/exec", body);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let operation: serde_json::Value = serde_json::from_str(body).unwrap();
    let path = operation["operation"].as_str().unwrap();

    let upgrade = |query: &str| {
        let mut stream = connect(&daemon);
        let head = format!(
            "GET {path}/websocket{query} HTTP/1.1\r\nHost: sc\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        (String::from_utf8_lossy(&answer).into_owned(), stream)
    };
    assert_eq!(upgrade("").0, "HTTP/1.1 400");
    assert_eq!(upgrade("?secret=guessed").0, "HTTP/1.1 403");
    let secret = operation["metadata"]["metadata"]["fds"]["0"].as_str().unwrap();
    let first = upgrade(&format!("?secret={secret}"));
    assert_eq!(first.0, "HTTP/1.1 101");
    assert_eq!(upgrade(&format!("?secret={secret}")).0, "HTTP/1.1 403", "each serves once");

    let before = connections(&daemon);
    for _ in 0..50 {
        let head = format!("GET {path}/wait HTTP/1.1\r\nHost: sc\r\n\r\n");
        connect(&daemon).write_all(head.as_bytes()).unwrap();
    }
    until("the polls are gone", Duration::from_secs(5), &true, || connections(&daemon) <= before);
    drop(first);
}

#[test]
fn an_image_is_public_where_it_is_said_so_and_what_has_no_effect_is_refused() {
    let daemon = Busybox::daemon();
    let image = &daemon.json(&["image", "list", "-f", "json"])[0];
    let put = |field: &str, value: serde_json::Value| {
        let mut whole = image.clone();
        whole[field] = value;
        let head = format!("PUT /1.0/images/{}", image["fingerprint"].as_str().unwrap());
        ask(&daemon, &head, whole.to_string().as_bytes())
    };
    assert!(put("auto_update", true.into()).contains("field \\\"auto_update\\\""));
    assert!(put("expires_at", "2030-01-01T00:00:00Z".into()).contains("field \\\"expires_at\\\""));
    assert!(put("public", true.into()).contains("Success"), "the rest as it was");
    assert_eq!(daemon.json(&["image", "list", "-f", "json"])[0]["public"], true);
}
