//! A program whose client connects to the websockets of its operation.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use futures::future::{OptionFuture, try_join_all};
use sc_agent_protocol::{ExecRequest, WindowSize};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::agent::{AgentLink, RunningExec};
use super::super::stream::{self, ClientLeft, Stream};
use super::{ExitStatus, finished, hang_up, pipes, resize, signal};
use crate::error::{Context, Error, Result, chain};
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

/// Runs the program with its three streams on three websockets.
pub async fn run_split(
    link: Arc<AgentLink>,
    request: ExecRequest,
    mut sockets: Sockets,
) -> Result<Option<Output>> {
    let control = take(&mut sockets, "control");
    let [stdin, stdout, stderr] = connected(&mut sockets, ["0", "1", "2"]).await?;
    let [(input, input_ours), (output_ours, output), (errors_ours, errors)] = pipes(&request)?;
    let fds = [input.as_fd(), output.as_fd(), errors.as_fd()];
    let RunningExec { id, mut exit, .. } = link.exec(request, &fds).await?;
    // Ours must go, or the pipes would never end.
    drop((input, output, errors));

    let (ended, left) = (CancellationToken::new(), CancellationToken::new());
    let showing = tokio::spawn({
        let (ended, left) = (ended.clone(), left.clone());
        async move {
            let output = copy_output(output_ours, stdout, &ended);
            let errors = copy_output(errors_ours, stderr, &ended);
            if tokio::join!(output, errors) == (ClientLeft::Yes, ClientLeft::Yes) {
                left.cancel();
            }
        }
    });
    let feeding = tokio::spawn(feed_split(input_ours, stdin, ended.clone()));
    let watcher = ControlWatcher { link: &link, exec: id, terminal: None };
    let status = tokio::select! {
        status = &mut exit => Some(status),
        () = watcher.run(control) => None,
        // Without a control websocket the client has gone when it takes no output any more.
        () = left.cancelled() => None,
    };
    let status = match status {
        Some(status) => status,
        None => {
            hang_up(&link, id).await;
            exit.await
        }
    };
    ended.cancel();
    let _ = showing.await;
    feeding.abort();
    finished(&link, status)
}

/// Runs the program on a terminal of its own, on one websocket.
pub async fn run_terminal(
    link: Arc<AgentLink>,
    request: ExecRequest,
    mut sockets: Sockets,
) -> Result<Option<Output>> {
    let control = take(&mut sockets, "control");
    let [data] = connected(&mut sockets, ["0"]).await?;
    let RunningExec { id, mut exit, terminal, .. } = link.exec(request, &[]).await?;
    let terminal = terminal.ok_or_else(|| Error::internal("the agent sent no terminal"))?;
    let terminal = Stream::new(terminal).context("open the program's terminal")?;
    let watcher = ControlWatcher { link: &link, exec: id, terminal: Some(&terminal) };
    let status = join(&terminal, data, &mut exit, watcher.run(control)).await;
    // Its last master, by whose end the kernel tells the programs in the terminal.
    drop(terminal);
    match status {
        Some(status) => finished(&link, status),
        None => {
            hang_up(&link, id).await;
            finished(&link, exit.await)
        }
    }
}

/// Joins a terminal to its websocket until the program has ended; `None` where its client is gone
/// before that.
async fn join(
    terminal: &Stream,
    data: WebSocket,
    exit: &mut oneshot::Receiver<i32>,
    control_ends: impl Future<Output = ()>,
) -> Option<ExitStatus> {
    let (mut sink, mut source) = data.split();
    let [ended, shown, gone] = [(); 3].map(|()| CancellationToken::new());
    let showing = async {
        tokio::select! {
            () = stream::send_output(terminal, &mut sink, &ended) => shown.cancel(),
            () = gone.cancelled() => {}
        }
    };
    let leaving = async {
        stream::receive_until_left(terminal, &mut source).await;
        if shown.is_cancelled() {
            // It has seen all there is, and waits for the exit status.
            std::future::pending().await
        }
    };
    let running = async {
        tokio::select! {
            status = exit => {
                ended.cancel();
                return Some(status);
            }
            () = control_ends => {}
            () = leaving => {}
        }
        gone.cancel();
        None
    };
    tokio::join!(running, showing).0
}

async fn copy_output(from: OwnedFd, to: WebSocket, ended: &CancellationToken) -> ClientLeft {
    let stream = match Stream::new(from) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot read a program's output");
            return ClientLeft::No;
        }
    };
    let (mut sink, mut source) = to.split();
    // The client's side is read too: pings are answered, and a client that leaves is noticed.
    let gone = async { while let Some(Ok(_)) = source.next().await {} };
    tokio::select! {
        () = stream::send_output(&stream, &mut sink, ended) => ClientLeft::No,
        () = gone => ClientLeft::Yes,
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
/// is a client that has died.
struct ControlWatcher<'a> {
    link: &'a AgentLink,
    exec: u64,
    terminal: Option<&'a Stream>,
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

impl ControlWatcher<'_> {
    /// Returns when the client has gone.
    async fn run(self, socket: Option<oneshot::Receiver<WebSocket>>) {
        // pylxd never connects it.
        let Some(Ok(mut socket)) = OptionFuture::from(socket).await else {
            return std::future::pending().await;
        };
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => self.obey(text.as_bytes()).await,
                Message::Binary(bytes) => self.obey(&bytes).await,
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    async fn obey(&self, text: &[u8]) {
        let Ok(message) = serde_json::from_slice::<ControlMessage>(text) else {
            tracing::debug!("unreadable message on a control websocket");
            return;
        };
        match message.command.as_str() {
            "signal" => signal(self.link, self.exec, message.signal).await,
            "window-resize" => self.resize(&message.args.unwrap_or_default()),
            other => tracing::debug!(command = other, "unknown command on a control websocket"),
        }
    }

    fn resize(&self, args: &BTreeMap<String, String>) {
        let number = |key: &str| args.get(key).and_then(|text| text.parse::<u16>().ok());
        if let (Some(columns), Some(rows)) = (number("width"), number("height"))
            && let Some(terminal) = self.terminal
        {
            resize(terminal, WindowSize { columns, rows });
        }
    }
}

fn take(sockets: &mut Sockets, name: SocketSlot) -> Option<oneshot::Receiver<WebSocket>> {
    sockets.remove(name)
}

/// Waits for the client to connect these websockets.
pub async fn connected<const N: usize>(
    sockets: &mut Sockets,
    names: [SocketSlot; N],
) -> Result<[WebSocket; N]> {
    let receivers = names.map(|name| {
        let receiver = take(sockets, name).expect("the socket was made with the operation");
        async move {
            let broken = |_| {
                let text = format!("the connection of websocket {name:?} broke as it was made");
                Error::internal(text)
            };
            receiver.await.map_err(broken)
        }
    });
    match tokio::time::timeout(CONNECTING, try_join_all(receivers)).await {
        Ok(connected) => Ok(connected?.try_into().expect("as many as there are names")),
        Err(_) => Err(Error::invalid(format!(
            "not all of the websockets {} were connected within {} seconds",
            names.join(", "),
            CONNECTING.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use sc_agent_protocol::{Packet, Phase, Reply, Request, ToAgent, ToDaemon};
    use sc_api::{ErrorKind, InstanceExecPost};
    use sc_sys::unix::{Blocking, Listener};

    use super::super::request;
    use super::*;

    /// An agent of before that greets, knows no other request, and hands back what it was asked.
    fn listening_agent(listener: Listener) -> std::thread::JoinHandle<Vec<Request>> {
        std::thread::spawn(move || {
            let socket = listener.accept(Blocking::Yes).unwrap();
            let mut asked = Vec::new();
            while let Ok(Some(message)) = socket.receive() {
                let ToAgent { id, request } = ToAgent::decode(&message.bytes).unwrap();
                let reply = match request {
                    Request::Hello { .. } => {
                        Reply::Welcome { version: 1, pid: 1, phase: Phase::Waiting }
                    }
                    _ => Reply::Unsupported,
                };
                socket.send(&ToDaemon::Reply(id, reply).encode(), &[]).unwrap();
                asked.push(request);
            }
            asked
        })
    }

    #[tokio::test]
    async fn an_exec_whose_websockets_nobody_connects_ends_without_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let agent = listening_agent(Listener::bind(&path, Blocking::Yes).unwrap());
        let link = Arc::new(AgentLink::connect(&path).await.unwrap().0);
        let post = InstanceExecPost { command: vec!["env".into()], ..Default::default() };
        let request = request(&post, &BTreeMap::new());
        tokio::time::pause();
        for interactive in [false, true] {
            let (_set, sockets) = sockets(interactive);
            let error = match interactive {
                true => run_terminal(link.clone(), request.clone(), sockets).await,
                false => run_split(link.clone(), request.clone(), sockets).await,
            }
            .unwrap_err();
            assert!(error.to_string().contains("connected within 30 seconds"), "{error}");
        }
        drop(link);
        let asked = tokio::task::spawn_blocking(|| agent.join().unwrap()).await.unwrap();
        assert_eq!(asked.len(), 1, "hello alone: {asked:?}");
    }

    #[tokio::test]
    async fn what_is_too_long_for_a_message_is_too_long_for_an_agent_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let agent = listening_agent(Listener::bind(&path, Blocking::Yes).unwrap());
        let link = AgentLink::connect(&path).await.unwrap().0;
        let command = vec!["x".repeat(100_000); 2];
        let post = InstanceExecPost { command, ..Default::default() };
        let error = link.exec(request(&post, &BTreeMap::new()), &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = error.chain();
        assert!(text.ends_with("restart it, or hand them over in a file"), "{text}");
        drop(link);
        tokio::task::spawn_blocking(|| agent.join().unwrap()).await.unwrap();
    }
}
