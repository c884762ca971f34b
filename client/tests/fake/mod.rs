//! A small server that speaks the API over a unix socket, for tests of the client and the command
//! line. It keeps a few objects, records what it is asked, and runs `exec` as programs of this
//! machine.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod exec;
mod objects;
mod stream;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Path, Query, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sc_api::exec::PROTOCOL;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

/// How often a slow operation tells how far it is.
const STEP: Duration = Duration::from_millis(60);

/// A running server.
pub struct Fake {
    /// Its socket.
    pub socket: PathBuf,
    state: Arc<Shared>,
    _folder: tempfile::TempDir,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method, path and query.
    pub line: String,
    /// The body, if it was JSON.
    pub body: Value,
    /// The body's length.
    pub length: usize,
    /// The headers.
    pub headers: HeaderMap,
}

pub(crate) struct Shared {
    asked: Mutex<Vec<Asked>>,
    operations: Mutex<HashMap<String, Arc<watch::Sender<Value>>>>,
    events: broadcast::Sender<Value>,
    execs: exec::Execs,
    exec_by: ExecBy,
}

/// The ways to `exec` that a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecBy {
    /// Websockets alone, as LXD and every `scd` of before.
    Websockets,
    /// One connection as well.
    Stream,
}

type Ctx = State<Arc<Shared>>;

impl Fake {
    /// Starts a server, which ends with the test program.
    pub fn start() -> Self {
        Self::speaking(ExecBy::Stream)
    }

    /// As [`Fake::start`], with another way to `exec`.
    pub fn speaking(exec_by: ExecBy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("unix.socket");
        let state = Arc::new(Shared {
            asked: Mutex::default(),
            operations: Mutex::default(),
            events: broadcast::channel(64).0,
            execs: exec::Execs::default(),
            exec_by,
        });
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let router = router(state.clone());
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { socket, state, _folder: folder }
    }

    /// What was asked so far: method, path and query of each request.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Waits until so many requests began so.
    pub fn wait_for(&self, line: &str, count: usize) {
        for _ in 0..1000 {
            if self.lines().iter().filter(|asked| asked.starts_with(line)).count() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{line} was not asked {count} times: {:?}", self.lines());
    }

    /// The last request whose line begins so.
    pub fn last(&self, line: &str) -> Asked {
        let asked = self.asked();
        let found = asked.iter().rev().find(|asked| asked.line.starts_with(line));
        found.unwrap_or_else(|| panic!("{line} was not asked: {:?}", self.lines())).clone()
    }

    /// The control messages that running programs got.
    pub fn control_messages(&self) -> Vec<String> {
        self.state.execs.control().lock().unwrap().clone()
    }
}

fn router(state: Arc<Shared>) -> Router {
    Router::new()
        .route("/1.0/events", get(events))
        .route("/1.0/operations/{id}/wait", get(wait))
        .route("/1.0/operations/{id}/websocket", get(websocket))
        .fallback(answer)
        .with_state(state)
}

async fn answer(State(shared): Ctx, request: Request) -> Response {
    if request.headers().get("x-lxd-filename").is_some_and(|name| name == "refused.tar") {
        // Answered without a look at the body, as a server does that has seen enough.
        return failure(400, "no images today");
    }
    let (mut head, body) = request.into_parts();
    let upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let asked = Asked {
        line: format!("{} {}", head.method, head.uri),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        length: body.len(),
        headers: head.headers,
    };
    shared.asked.lock().unwrap().push(asked.clone());
    if let Some(id) = asked.line.strip_prefix("DELETE /1.0/operations/") {
        return cancel(&shared, id);
    }
    if let Some(id) = asked.line.strip_prefix("GET /1.0/operations/") {
        return match shared.operation(id) {
            Some(operation) => sync(operation.borrow().clone()),
            None => failure(404, "Operation not found"),
        };
    }
    if asked.line.ends_with("/exec") {
        let asks = asked.headers.get(header::UPGRADE).is_some_and(|to| to == PROTOCOL);
        return match upgrade.filter(|_| asks && shared.exec_by == ExecBy::Stream) {
            Some(upgrade) => stream::start(&shared, &asked, upgrade),
            None => exec::start(&shared, &asked),
        };
    }
    objects::answer(&shared, &asked)
}

fn cancel(shared: &Arc<Shared>, id: &str) -> Response {
    let Some(operation) = shared.operation(id) else {
        return failure(404, "Operation not found");
    };
    if operation.borrow()["may_cancel"] == json!(false) {
        return failure(400, "This operation can't be cancelled");
    }
    shared.end(id, 401, "Cancelled", "the operation was cancelled", json!({}));
    sync(json!({}))
}

async fn wait(State(shared): Ctx, Path(id): Path<String>) -> Response {
    let line = format!("GET /1.0/operations/{id}/wait");
    shared.asked.lock().unwrap().push(Asked {
        line,
        body: Value::Null,
        length: 0,
        headers: HeaderMap::new(),
    });
    let Some(operation) = shared.operation(&id) else {
        return failure(404, "Operation not found");
    };
    let mut changes = operation.subscribe();
    let ended = changes.wait_for(|operation| operation["status_code"].as_u64() >= Some(200));
    sync(ended.await.unwrap().clone())
}

async fn websocket(
    State(shared): Ctx,
    Path(_): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    match shared.execs.claim(&query["secret"]) {
        Some(place) => upgrade.on_upgrade(|socket| async {
            let _ = place.send(socket);
        }),
        None => failure(403, "unknown or used secret"),
    }
}

async fn events(State(shared): Ctx, upgrade: WebSocketUpgrade) -> Response {
    let mut events = shared.events.subscribe();
    upgrade.on_upgrade(|mut socket: WebSocket| async move {
        while let Ok(event) = events.recv().await {
            let text = event.to_string() + "\n";
            if socket.send(Message::Text(text.into())).await.is_err() {
                return;
            }
        }
    })
}

impl Shared {
    fn operation(&self, id: &str) -> Option<Arc<watch::Sender<Value>>> {
        self.operations.lock().unwrap().get(id).cloned()
    }

    /// A new operation that runs.
    pub(crate) fn begin(&self, fields: Value) -> (String, Value) {
        let mut operations = self.operations.lock().unwrap();
        let id = format!("op-{}", operations.len());
        let mut operation = json!({
            "id": id, "class": "task", "description": "Working", "status": "Running",
            "status_code": 103, "may_cancel": true, "err": "", "location": "none",
            "resources": {}, "metadata": null,
            "created_at": "2026-11-24T10:00:00Z", "updated_at": "2026-11-24T10:00:00Z",
        });
        merge(&mut operation, fields);
        operations.insert(id.clone(), Arc::new(watch::Sender::new(operation.clone())));
        (id, operation)
    }

    /// Changes an operation and tells the listeners.
    pub(crate) fn update(&self, id: &str, fields: Value) {
        let operation = self.operation(id).unwrap();
        operation.send_modify(|operation| merge(operation, fields));
        let _ = self.events.send(json!({
            "type": "operation", "timestamp": "2026-11-24T10:00:01Z", "location": "none",
            "project": "default", "metadata": operation.borrow().clone(),
        }));
    }

    /// Ends an operation.
    pub(crate) fn end(&self, id: &str, code: u16, status: &str, err: &str, metadata: Value) {
        self.update(
            id,
            json!({"status_code": code, "status": status, "err": err, "metadata": metadata}),
        );
    }
}

/// Answers with an operation that has ended in success.
pub(crate) fn done(shared: &Shared, fields: Value) -> Response {
    let (id, _) = shared.begin(fields.clone());
    shared.update(&id, json!({"status_code": 200, "status": "Success"}));
    asynchronous(shared.operation(&id).unwrap().borrow().clone())
}

/// Answers with an operation that will fail.
pub(crate) fn will_fail(shared: &Arc<Shared>, err: &str) -> Response {
    let (id, operation) = shared.begin(json!({}));
    let (shared, err) = (shared.clone(), err.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(STEP / 4).await;
        shared.end(&id, 400, "Failure", &err, Value::Null);
    });
    asynchronous(operation)
}

/// Answers with an operation that takes a while and tells its steps.
pub(crate) fn slow(shared: &Arc<Shared>, fields: Value) -> Response {
    let (id, operation) = shared.begin(fields);
    let shared = shared.clone();
    tokio::spawn(async move {
        for (stage, percent) in
            [("Downloading", ""), ("Downloading", "50"), ("Unpacking", "10"), ("Unpacking", "90")]
        {
            tokio::time::sleep(STEP).await;
            if shared.operation(&id).unwrap().borrow()["status_code"] != 103 {
                return;
            }
            let progress =
                json!({"stage": stage, "percent": percent, "speed": "", "processed": ""});
            shared.update(&id, json!({"metadata": {"progress": progress}}));
        }
        tokio::time::sleep(STEP).await;
        shared.end(&id, 200, "Success", "", Value::Null);
    });
    asynchronous(operation)
}

/// Answers with a value.
pub(crate) fn sync(metadata: Value) -> Response {
    let body = json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "",
                      "error_code": 0, "error": "", "metadata": metadata});
    (StatusCode::OK, [(header::ETAG, "\"etag-1\"")], format!("{body}\n")).into_response()
}

/// Answers with an operation.
pub(crate) fn asynchronous(operation: Value) -> Response {
    let path = format!("/1.0/operations/{}", operation["id"].as_str().unwrap());
    let body = json!({"type": "async", "status": "Operation created", "status_code": 100,
                      "operation": path, "error_code": 0, "error": "", "metadata": operation});
    (StatusCode::ACCEPTED, [(header::LOCATION, path)], format!("{body}\n")).into_response()
}

/// Answers with a failure.
pub(crate) fn failure(code: u16, text: &str) -> Response {
    failure_with(code, text, Value::Null)
}

/// Answers with a failure that has something to say in its metadata.
pub(crate) fn failure_with(code: u16, text: &str, metadata: Value) -> Response {
    let body = json!({"type": "error", "status": "", "status_code": 0, "operation": "",
                      "error_code": code, "error": text, "metadata": metadata});
    (StatusCode::from_u16(code).unwrap(), format!("{body}\n")).into_response()
}

/// Answers with bytes.
pub(crate) fn bytes(text: &'static str) -> Response {
    Response::new(Body::from(text))
}

fn merge(into: &mut Value, fields: Value) {
    for (key, value) in fields.as_object().unwrap() {
        into[key] = value.clone();
    }
}
