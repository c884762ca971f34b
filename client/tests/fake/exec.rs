//! `exec`, by programs of this machine behind LXD's websockets.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use super::{Asked, Shared, asynchronous, failure};

/// What is known of running programs.
#[derive(Default)]
pub struct Execs {
    places: Mutex<HashMap<String, oneshot::Sender<WebSocket>>>,
    control: Arc<Mutex<Vec<String>>>,
}

impl Execs {
    /// Takes the place that a secret stands for.
    pub fn claim(&self, secret: &str) -> Option<oneshot::Sender<WebSocket>> {
        self.places.lock().unwrap().remove(secret)
    }

    /// The control messages that programs got.
    pub fn control(&self) -> Arc<Mutex<Vec<String>>> {
        self.control.clone()
    }

    fn place(&self, secret: String) -> oneshot::Receiver<WebSocket> {
        let (sender, receiver) = oneshot::channel();
        self.places.lock().unwrap().insert(secret, sender);
        receiver
    }
}

/// Starts a program when its sockets are there.
pub fn start(shared: &Arc<Shared>, asked: &Asked) -> Response {
    if !asked.line.contains("/web1/") {
        return failure(400, "Instance is not running");
    }
    let (id, _) = shared.begin(json!({"class": "websocket"}));
    let names: &[&str] = match asked.body["interactive"].as_bool() {
        Some(true) => &["0", "control"],
        _ => &["0", "1", "2", "control"],
    };
    let secret = |name: &str| format!("{id}-{name}");
    let fds: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), secret(name).into())).collect();
    let places: HashMap<_, _> =
        names.iter().map(|name| (*name, shared.execs.place(secret(name)))).collect();
    shared.update(&id, json!({"metadata": {"fds": fds}}));
    let answer = asynchronous(shared.operation(&id).unwrap().borrow().clone());
    tokio::spawn(run(shared.clone(), id, asked.body.clone(), places));
    answer
}

async fn run(
    shared: Arc<Shared>,
    id: String,
    body: serde_json::Value,
    mut places: HashMap<&str, oneshot::Receiver<WebSocket>>,
) {
    let log = shared.execs.control.clone();
    let control = places.remove("control").unwrap();
    let mut sockets = HashMap::new();
    for (name, place) in places {
        let Ok(socket) = place.await else { return };
        sockets.insert(name, socket);
    }
    let Ok(mut child) = spawn(&body) else {
        drop(sockets);
        shared.end(&id, 400, "Failure", "Command not found", json!({"return": 127}));
        return;
    };
    let controlling = tokio::spawn(obey(control, log, child.id().unwrap()));
    let status = converse(&mut child, sockets).await;
    controlling.abort();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
    shared.end(&id, 200, "Success", "", json!({"return": code}));
}

/// Starts the program that a request names.
pub fn spawn(body: &serde_json::Value) -> std::io::Result<Child> {
    let command: Vec<String> = serde_json::from_value(body["command"].clone()).unwrap();
    let environment: HashMap<String, String> =
        serde_json::from_value(body["environment"].clone()).unwrap_or_default();
    Command::new(&command[0])
        .args(&command[1..])
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Joins a program's streams with its sockets, until it ends.
async fn converse(child: &mut Child, mut sockets: HashMap<&str, WebSocket>) -> ExitStatus {
    let stdin = child.stdin.take().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (to0, from0) = sockets.remove("0").unwrap().split();
    tokio::spawn(feed(from0, stdin));
    let ended = match (sockets.remove("1"), sockets.remove("2")) {
        (Some(one), Some(two)) => {
            let ((to1, _from1), (to2, _from2)) = (one.split(), two.split());
            tokio::join!(child.wait(), send(stdout, to1), send(stderr, to2)).0
        }
        _ => tokio::join!(child.wait(), send(stdout, to0)).0,
    };
    ended.unwrap()
}

async fn send(mut from: impl AsyncRead + Unpin, mut to: impl futures::Sink<Message> + Unpin) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                let message = Message::Binary(buffer[..read].to_vec().into());
                if to.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = to.send(Message::Text("".into())).await;
}

async fn feed(
    mut from: impl futures::Stream<Item = Result<Message, axum::Error>> + Unpin,
    mut to: ChildStdin,
) {
    while let Some(Ok(message)) = from.next().await {
        let written = match message {
            Message::Binary(bytes) => to.write_all(&bytes).await,
            Message::Text(text) if text.is_empty() => return,
            _ => Ok(()),
        };
        if written.is_err() {
            return;
        }
    }
}

async fn obey(place: oneshot::Receiver<WebSocket>, log: Arc<Mutex<Vec<String>>>, pid: u32) {
    let Ok(mut socket) = place.await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            log.lock().unwrap().push(text.to_string());
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            if value["command"] == "signal" {
                kill(pid, value["signal"].as_i64().unwrap().try_into().unwrap()).await;
            }
        }
    }
    // As LXD does: who leaves takes the program along.
    kill(pid, 9).await;
}

/// Sends a signal to a program. (One that has ended is gone already.)
pub async fn kill(pid: u32, signal: i32) {
    let words = ["-s", &signal.to_string(), &pid.to_string()];
    let _ = Command::new("kill").args(words).status().await;
}
