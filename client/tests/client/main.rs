//! The client against a small server: what each request says, and what becomes of an operation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod exec;
#[path = "../fake/mod.rs"]
mod fake;
mod images;

use std::sync::Mutex;
use std::time::Duration;

use fake::Fake;
use http::Method;
use sc_api::{ErrorKind, InstanceSource, InstancesPost, StatusCode};
use sc_client::{Client, Detail, Error, Tagged};

fn connect() -> (Fake, Client) {
    let fake = Fake::start();
    let client = Client::unix(&fake.socket);
    (fake, client)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn from_image(alias: &str) -> InstancesPost {
    let source =
        InstanceSource { source_type: "image".into(), alias: alias.into(), ..Default::default() };
    InstancesPost::new(&"c1".parse().unwrap(), source)
}

#[test]
fn a_list_is_one_request() {
    let (fake, client) = connect();
    let list = run(client.instances(Detail::State)).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].state.as_ref().unwrap().pid, 4321);
    assert_eq!(fake.lines(), ["GET /1.0/instances?recursion=2"]);
}

#[test]
fn a_kept_connection_that_was_closed_while_the_client_was_held_up_is_not_used() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // Answers once, and closes when it is told to.
    let serve_one = |listener: std::os::unix::net::UnixListener,
                     close: std::sync::mpsc::Receiver<()>| {
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes").unwrap();
        close.recv().unwrap_err();
        listener
    };
    let (open, close) = std::sync::mpsc::channel();
    let first = std::thread::spawn(move || serve_one(listener, close));
    run(async {
        let client = Client::unix(&socket);
        assert_eq!(client.get_bytes("/1").await.unwrap(), "yes");
        // What there is to do for the connection is done.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // From here on no task has its turn until the connection is closed.
        drop(open);
        let listener = first.join().unwrap();
        let (open, close) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || serve_one(listener, close));
        assert_eq!(client.get_bytes("/2").await.unwrap(), "yes");
        drop(open);
        second.join().unwrap();
    });
}

#[test]
fn a_wait_goes_on_when_the_daemon_gave_up_the_connection_just_as_it_was_asked() {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let operation = |status: &str, code: u32| {
        let operation = serde_json::json!({"id": "1", "class": "task", "description": "",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "status": status, "status_code": code, "may_cancel": false});
        let body = serde_json::json!({"type": "sync", "status": "", "status_code": 200, "operation": "",
            "error_code": 0, "error": "", "metadata": operation});
        let body = body.to_string();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let asked = |stream: &mut UnixStream| assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
    let server = std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        asked(&mut first);
        first.write_all(operation("Running", 103).as_bytes()).unwrap();
        asked(&mut first);
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        asked(&mut second);
        second.write_all(operation("Success", 200).as_bytes()).unwrap();
    });
    run(async {
        let client = Client::unix(&socket);
        let begun = client.start_delete("/1.0/instances/c1").await.unwrap();
        assert_eq!(client.wait(begun).await.unwrap().status_code, StatusCode::Success);
    });
    server.join().unwrap();
}

#[test]
fn an_object_comes_with_its_etag_and_goes_back_with_it() {
    let (fake, client) = connect();
    run(async {
        let Tagged { etag, .. } = client.profile("default").await.unwrap();
        assert_eq!(etag.as_deref(), Some("\"etag-1\""));
        client.replace_profile("default", &Default::default(), etag.as_deref()).await.unwrap();
    });
    assert_eq!(fake.last("PUT /1.0/profiles/default").headers["if-match"], "\"etag-1\"");
}

#[test]
fn a_failure_keeps_the_servers_text_and_its_kind() {
    let (_fake, client) = connect();
    let error = run(client.instance("nope")).unwrap_err();
    assert_eq!(error.to_string(), "Instance \"nope\" not found: see sc list");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_daemon_that_is_not_there_is_unavailable() {
    let client = Client::unix("/nonexistent/unix.socket");
    let error = run(client.server()).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_operation_that_has_ended_already_is_not_waited_for() {
    let (fake, client) = connect();
    run(async {
        let operation = client.create_instance(&from_image("bb")).await.unwrap();
        let ended = client.wait(operation).await.unwrap();
        assert_eq!(ended.resource_name("instances"), Some("c1"));
    });
    assert_eq!(fake.lines(), ["POST /1.0/instances"]);
}

#[test]
fn a_failed_operation_is_an_error_with_its_text() {
    let (_fake, client) = connect();
    let error = run(async {
        let operation = client.create_instance(&from_image("broken")).await.unwrap();
        client.wait(operation).await.unwrap_err()
    });
    assert_eq!(error.to_string(), "unpack image: tar ends too early");
}

#[test]
fn progress_is_told_while_an_operation_is_waited_for() {
    let (_fake, client) = connect();
    let stages = Mutex::new(Vec::new());
    run(async {
        let operation = client.create_instance(&from_image("slow")).await.unwrap();
        let ended = client
            .wait_with_progress(operation, |operation| {
                stages.lock().unwrap().extend(operation.progress().map(|step| step.stage));
            })
            .await
            .unwrap();
        assert_eq!(ended.status_code, StatusCode::Success);
    });
    assert!(stages.into_inner().unwrap().contains(&"Unpacking".to_owned()));
}

#[test]
fn a_daemon_that_dies_under_an_operation_is_told_with_what_becomes_of_that() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let dying = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut connection, _) = dying.accept().unwrap();
        std::io::Read::read(&mut connection, &mut [0; 1024]).unwrap();
    });
    let operation = serde_json::from_value(serde_json::json!({
        "id": "1", "class": "task", "description": "", "status": "Running",
        "status_code": 103, "may_cancel": true, "metadata": null,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    }));
    let error = run(Client::unix(&socket).wait(operation.unwrap())).unwrap_err();
    daemon.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("the connection to the daemon broke before"), "{text}");
    assert!(text.ends_with("taken back when the daemon is started again"), "{text}");
}

#[test]
fn a_cancelled_operation_ends_the_wait() {
    let (_fake, client) = connect();
    let error = run(async {
        let operation = client.create_instance(&from_image("slow")).await.unwrap();
        let id = operation.id.clone();
        let (waited, cancelled) = tokio::join!(client.wait(operation), async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            client.cancel(&id).await
        });
        cancelled.unwrap();
        waited.unwrap_err()
    });
    assert!(matches!(error, Error::Operation { status: StatusCode::Cancelled, .. }), "{error:?}");
}

#[test]
fn requests_that_overlap_do_not_wait_for_each_other() {
    let (_fake, client) = connect();
    run(async {
        let slow = client.create_instance(&from_image("slow")).await.unwrap();
        let (waited, listed) = tokio::join!(
            client.wait(slow),
            tokio::time::timeout(Duration::from_millis(100), client.profiles())
        );
        waited.unwrap();
        listed.expect("the list comes while the wait goes on").unwrap();
    });
}

#[test]
fn a_raw_answer_shows_failures_as_they_came() {
    let (_fake, client) = connect();
    let answer = run(client.raw(Method::GET, "/1.0/instances/nope", None)).unwrap();
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8_lossy(&answer.body).contains("not found"));
}
