//! `exec`: a program inside, connected to the websockets of its operation.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use sc_agent_protocol::{ExecRequest, WindowSize};
use sc_api::{ErrorKind, InstanceExecPost};
use serde::Deserialize;
use serde_json::Map;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agent::{AgentLink, RunningExec};
use super::stream::{self, ClientLeft, Stream};
use crate::error::{Context, Error, Result};
use crate::operation::{Output, SocketSet, SocketSlot};

/// How long a client may take to connect the websockets.
const CONNECTING: Duration = Duration::from_secs(30);

/// The websockets of one exec, as clients will connect them.
pub type Sockets = BTreeMap<SocketSlot, oneshot::Receiver<WebSocket>>;

/// The websockets that an exec has.
pub fn sockets(interactive: bool) -> (Arc<SocketSet>, Sockets) {
    let names: &[SocketSlot] =
        if interactive { &["0", "control"] } else { &["0", "1", "2", "control"] };
    let (set, receivers) = SocketSet::new(names);
    (Arc::new(set), receivers)
}

/// The agent's form of a request.
pub fn request(post: &InstanceExecPost, environment: &BTreeMap<String, String>) -> ExecRequest {
    let mut merged = environment.clone();
    merged.extend(post.environment.clone());
    ExecRequest {
        command: post.command.clone(),
        environment: merged.into_iter().collect(),
        cwd: Some(post.cwd.clone()).filter(|cwd| !cwd.is_empty()),
        user: post.user,
        group: post.group,
        terminal: post.interactive.then(|| window(post.width, post.height)),
    }
}

fn window(width: u16, height: u16) -> WindowSize {
    match (width, height) {
        (0, _) | (_, 0) => WindowSize { columns: 80, rows: 25 },
        (columns, rows) => WindowSize { columns, rows },
    }
}

/// Runs the program with its three streams on three websockets.
pub async fn run_split(
    link: Arc<AgentLink>,
    request: ExecRequest,
    mut sockets: Sockets,
) -> Result<Option<Output>> {
    let control = take(&mut sockets, "control");
    let stdin = connected(&mut sockets, "0").await?;
    let stdout = connected(&mut sockets, "1").await?;
    let stderr = connected(&mut sockets, "2").await?;
    let (input, input_ours) = pipe()?;
    let (output_ours, output) = pipe()?;
    let (errors_ours, errors) = pipe()?;
    let fds = [input.as_fd(), output.as_fd(), errors.as_fd()];
    let exec = link.exec(request, &fds).await?;
    // Ours must go, or the pipes would never end.
    drop((input, output, errors));

    let ended = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(copy_output(output_ours, stdout, ended.clone()));
    tasks.spawn(copy_output(errors_ours, stderr, ended.clone()));
    tasks.close();
    let watcher = ControlWatcher { link: link.clone(), exec: exec.id, terminal: None };
    let controlling = tokio::spawn(watcher.run(control));
    let feeding = tokio::spawn(feed_split(input_ours, stdin, ended.clone()));

    let status = exec.exit.await;
    ended.cancel();
    tasks.wait().await;
    controlling.abort();
    feeding.abort();
    exit(status)
}

/// Runs the program on a terminal of its own, on one websocket.
pub async fn run_terminal(
    link: Arc<AgentLink>,
    request: ExecRequest,
    mut sockets: Sockets,
) -> Result<Option<Output>> {
    let control = take(&mut sockets, "control");
    let data = connected(&mut sockets, "0").await?;
    let RunningExec { id, exit: exited, terminal, .. } = link.exec(request, &[]).await?;
    let terminal = terminal.ok_or_else(|| Error::internal("the agent sent no terminal"))?;
    let terminal = Arc::new(Stream::new(terminal).context("open the program's terminal")?);
    let ended = CancellationToken::new();
    let watcher = ControlWatcher { link: link.clone(), exec: id, terminal: Some(terminal.clone()) };
    let controlling = tokio::spawn(watcher.run(control));

    let (mut sink, mut source) = data.split();
    let typing = tokio::spawn({
        let terminal = terminal.clone();
        async move { stream::receive_input(&terminal, &mut source).await }
    });
    let mut showing = tokio::spawn({
        let (terminal, ended) = (terminal.clone(), ended.clone());
        async move { stream::send_output(&terminal, &mut sink, &ended).await }
    });
    let status = exited.await;
    ended.cancel();
    let _ = (&mut showing).await;
    controlling.abort();
    typing.abort();
    exit(status)
}

/// The result of an exec: its exit status; an agent that has gone took the program with it.
fn exit(status: Result<i32, oneshot::error::RecvError>) -> Result<Option<Output>> {
    // 137 is what a program shows that was killed, which is what has happened to it.
    let status = status.unwrap_or(137);
    Ok(Some(Map::from_iter([("return".to_owned(), status.into())])))
}

/// The status that a shell shows for a program that could not be started; `None` where it is not
/// the program's fault.
pub fn shell_status(error: &Error) -> Option<i32> {
    match error.kind() {
        ErrorKind::NotFound => Some(127),
        ErrorKind::Forbidden => Some(126),
        _ => None,
    }
}

async fn copy_output(from: OwnedFd, to: WebSocket, ended: CancellationToken) {
    let stream = match Stream::new(from) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "cannot read a program's output");
            return;
        }
    };
    let (mut sink, mut source) = to.split();
    // The client's side is read too: pings are answered, and a client that leaves is noticed.
    let gone = async { while let Some(Ok(_)) = source.next().await {} };
    tokio::select! {
        () = stream::send_output(&stream, &mut sink, &ended) => {}
        () = gone => {}
    }
}

async fn feed_split(to: OwnedFd, from: WebSocket, ended: CancellationToken) {
    let Ok(stream) = Stream::new(to) else { return };
    let (_sink, mut source) = from.split();
    let left = stream::receive_input(&stream, &mut source).await;
    // The end of the client's data is the end of the program's input.
    drop(stream);
    if left == ClientLeft::No {
        ended.cancelled().await;
    }
}

/// Watches the control websocket: window sizes and signals come in; its end before the program's
/// is a client that has died, whose program is killed.
struct ControlWatcher {
    link: Arc<AgentLink>,
    exec: u64,
    terminal: Option<Arc<Stream>>,
}

/// What clients send on the control websocket.
#[derive(Debug, Deserialize)]
struct ControlMessage {
    command: String,
    #[serde(default)]
    args: Option<BTreeMap<String, String>>,
    #[serde(default)]
    signal: i32,
}

impl ControlWatcher {
    async fn run(self, socket: Option<oneshot::Receiver<WebSocket>>) {
        let Some(socket) = socket else { return };
        // pylxd never connects it.
        let Ok(mut socket) = socket.await else { return };
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => self.obey(text.as_bytes()).await,
                Message::Binary(bytes) => self.obey(&bytes).await,
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        self.signal(9).await;
    }

    async fn obey(&self, text: &[u8]) {
        let Ok(message) = serde_json::from_slice::<ControlMessage>(text) else {
            tracing::debug!("unreadable message on a control websocket");
            return;
        };
        match message.command.as_str() {
            "signal" => self.signal(message.signal).await,
            "window-resize" => self.resize(&message.args.unwrap_or_default()),
            other => tracing::debug!(command = other, "unknown command on a control websocket"),
        }
    }

    async fn signal(&self, signal: i32) {
        if let Err(error) = self.link.signal(self.exec, signal).await {
            tracing::debug!(error = %error.chain(), "signal a program inside");
        }
    }

    fn resize(&self, args: &BTreeMap<String, String>) {
        let number = |key: &str| args.get(key).and_then(|text| text.parse::<u16>().ok());
        let (Some(columns), Some(rows)) = (number("width"), number("height")) else { return };
        let Some(terminal) = &self.terminal else { return };
        let size =
            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        if let Err(error) = rustix::termios::tcsetwinsize(terminal.fd(), size) {
            tracing::debug!(%error, "give a terminal another size");
        }
    }
}

fn take(sockets: &mut Sockets, name: SocketSlot) -> Option<oneshot::Receiver<WebSocket>> {
    sockets.remove(name)
}

pub(super) async fn connected(sockets: &mut Sockets, name: SocketSlot) -> Result<WebSocket> {
    let receiver = take(sockets, name).expect("the socket was made with the operation");
    match tokio::time::timeout(CONNECTING, receiver).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(_)) => Err(Error::internal("the operation's websockets are gone")),
        Err(_) => Err(Error::invalid(format!(
            "websocket {name} was not connected within {} seconds",
            CONNECTING.as_secs()
        ))),
    }
}

/// A pipe: its reading end and its writing end.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_a_terminal_gets_one_of_the_usual_size() {
        assert_eq!(window(0, 0), WindowSize { columns: 80, rows: 25 });
        assert_eq!(window(132, 50), WindowSize { columns: 132, rows: 50 });
    }

    #[test]
    fn the_requests_environment_is_laid_over_the_instances() {
        let post = InstanceExecPost {
            command: vec!["env".into()],
            environment: BTreeMap::from([("A".into(), "2".into())]),
            ..InstanceExecPost::default()
        };
        let environment = BTreeMap::from([("A".into(), "1".into()), ("B".into(), "1".into())]);
        let request = request(&post, &environment);
        assert_eq!(request.environment, [("A".into(), "2".into()), ("B".into(), "1".into())]);
        assert_eq!(request.terminal, None);
    }
}
