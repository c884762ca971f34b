//! Programs run inside an instance, by LXD's websockets.
//!
//! Without a terminal there are three sockets, one a stream; with one, a single socket goes both
//! ways. Each stream has a loop of its own that takes the next piece only when the last one was
//! written, so a slow reader holds back the program and nothing is kept here. The operation is
//! waited for at the same time. `control` carries signals and the window's size, and by its end the
//! server knows that the caller has died. Without a terminal it is connected when the program has
//! run for a moment, or gets a signal: most have ended by then.

use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::Method;
use sc_api::{InstanceExecPost, Operation, StatusCode};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::operation::success;
use crate::resource::path;
use crate::websocket::{Received, Socket, received};

/// The size of the frames that LXD's client sends.
const CHUNK: usize = 32 << 10;

/// How long a program without a terminal runs before `control` is connected.
const QUICK: Duration = Duration::from_millis(50);

/// How long the streams may go on after the operation has failed.
const GRACE: Duration = Duration::from_millis(500);

/// The caller's ends of the streams.
#[derive(Debug)]
pub struct ExecStreams<I, O, E> {
    /// Read from here; its end is passed on.
    pub stdin: I,
    /// Written to; with a terminal, everything.
    pub stdout: O,
    /// Written to, without a terminal.
    pub stderr: E,
}

/// What the caller may tell a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecControl {
    /// The terminal has another size now.
    Resize {
        /// In columns.
        width: u16,
        /// In lines.
        height: u16,
    },
    /// Send it this signal.
    Signal(i32),
}

/// What a program that ran to its end left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Client {
    /// Runs a program in an instance and returns its exit code; 128 + n when signal n ended it.
    pub async fn exec<I, O, E>(
        &self,
        instance: &str,
        post: &InstanceExecPost,
        streams: ExecStreams<I, O, E>,
        mut control: mpsc::Receiver<ExecControl>,
    ) -> Result<i32>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let operation =
            self.start(Method::POST, &path(&["instances", instance, "exec"]), post).await?;
        let sockets = Secrets::of(&operation)?;
        let finished = Notify::new();
        let io = async {
            match post.interactive {
                true => self.exec_terminal(&sockets, streams, &mut control, &finished).await,
                false => self.exec_plain(&sockets, streams, &mut control, &finished).await,
            }
        };
        exit_code(with_operation(self.wait_end(operation), io, &finished).await?)
    }

    /// Runs a program without input and returns all that it wrote.
    pub async fn exec_output(&self, instance: &str, command: &[&str]) -> Result<ExecOutput> {
        let post = InstanceExecPost {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            wait_for_websocket: true,
            ..InstanceExecPost::default()
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let streams =
            ExecStreams { stdin: tokio::io::empty(), stdout: &mut stdout, stderr: &mut stderr };
        let (_nothing_to_say, control) = mpsc::channel(1);
        let code = self.exec(instance, &post, streams, control).await?;
        Ok(ExecOutput { code, stdout, stderr })
    }

    /// Runs the streams of a program without a terminal. Tells by `finished` that its output has
    /// ended, and goes on: it may still run, and would be killed if `control` were closed.
    async fn exec_plain<I, O, E>(
        &self,
        secrets: &Secrets,
        mut streams: ExecStreams<I, O, E>,
        control: &mut mpsc::Receiver<ExecControl>,
        finished: &Notify,
    ) -> Result<()>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let (stdin, stdout, stderr) = tokio::try_join!(
            secrets.connect(self, "0"),
            secrets.connect(self, "1"),
            secrets.connect(self, "2"),
        )?;
        let outputs = async {
            tokio::try_join!(
                receive(stdout, &mut streams.stdout, "write standard output"),
                receive(stderr, &mut streams.stderr, "write standard error"),
            )?;
            finished.notify_one();
            std::future::pending::<Result<()>>().await
        };
        tokio::select! {
            failed = outputs => failed,
            error = feed(stdin, &mut streams.stdin) => Err(error),
            never = self.pass_control(secrets, None, control) => match never {},
        }
    }

    /// As [`Client::exec_plain`], with a terminal. Its socket is closed from our side first when
    /// the output has ended, as LXD's server waits for that.
    async fn exec_terminal<I, O, E>(
        &self,
        secrets: &Secrets,
        mut streams: ExecStreams<I, O, E>,
        control: &mut mpsc::Receiver<ExecControl>,
        finished: &Notify,
    ) -> Result<()>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
    {
        // Connected at once: by its end the server knows that we are gone.
        let (data, commands) =
            tokio::try_join!(secrets.connect(self, "0"), secrets.connect(self, "control"))?;
        let terminal = async {
            let (to, from) = data.split();
            tokio::select! {
                ended = receive(from, &mut streams.stdout, "write standard output") => ended?,
                error = send(to, &mut streams.stdin) => return Err(error),
            }
            finished.notify_one();
            std::future::pending().await
        };
        tokio::select! {
            failed = terminal => failed,
            never = self.pass_control(secrets, Some(commands), control) => match never {},
        }
    }

    /// Passes the caller's words on for ever. A socket that cannot be had, or ends, belongs to a
    /// program that has ended.
    async fn pass_control(
        &self,
        secrets: &Secrets,
        socket: Option<Socket>,
        control: &mut mpsc::Receiver<ExecControl>,
    ) -> std::convert::Infallible {
        let (mut first, mut socket) = (None, socket);
        if socket.is_none() {
            first = tokio::time::timeout(QUICK, control.recv()).await.ok().flatten();
            socket = secrets.connect(self, "control").await.ok();
        }
        let Some(mut socket) = socket else { return std::future::pending().await };
        loop {
            let word = match first.take() {
                Some(word) => Some(word),
                None => tokio::select! {
                    word = control.recv() => word,
                    // Reading answers the server's pings.
                    () = drain(&mut socket) => None,
                },
            };
            match word {
                Some(word) => {
                    let _ = socket.send(Message::text(command(word))).await;
                }
                // The socket stays open: its end would tell the server that we are gone.
                None => return std::future::pending().await,
            }
        }
    }
}

/// The secrets of an operation's websockets.
pub(crate) struct Secrets {
    operation: String,
    fds: serde_json::Map<String, serde_json::Value>,
}

impl Secrets {
    pub(crate) fn of(operation: &Operation) -> Result<Self> {
        let fds = operation.metadata.as_ref().and_then(|metadata| metadata.get("fds"));
        match fds.and_then(|fds| fds.as_object()) {
            Some(fds) => Ok(Self { operation: operation.id.clone(), fds: fds.clone() }),
            None => Err(Error::Unexpected {
                request: format!("POST for operation {}", operation.id),
                what: "it has no websockets".into(),
            }),
        }
    }

    pub(crate) async fn connect(&self, client: &Client, name: &str) -> Result<Socket> {
        match self.fds.get(name).and_then(|secret| secret.as_str()) {
            Some(secret) => client.operation_socket(&self.operation, secret).await,
            None => Err(Error::Unexpected {
                request: format!("POST for operation {}", self.operation),
                what: format!("it has no websocket {name:?}"),
            }),
        }
    }
}

/// Runs the streams beside the wait for their operation, and returns how that ended. Output that
/// is still on its way is waited for, until it has `finished`; a failed operation's only for a
/// moment.
pub(crate) async fn with_operation(
    end: impl Future<Output = Result<Operation>>,
    io: impl Future<Output = Result<()>>,
    finished: &Notify,
) -> Result<Operation> {
    tokio::pin!(end, io);
    tokio::select! {
        ended = &mut end => {
            let ended = ended?;
            let rest = async {
                tokio::select! {
                    () = finished.notified() => Ok(()),
                    done = io => done,
                }
            };
            if ended.status_code == StatusCode::Success {
                rest.await?;
            } else {
                let _ = tokio::time::timeout(GRACE, rest).await;
            }
            Ok(ended)
        }
        done = &mut io => match done {
            Ok(()) => end.await,
            // Our own output failed: the caller's sockets close, and the program with them.
            Err(error @ Error::Stream { .. }) => Err(error),
            // The sockets failed: most likely because the operation did, which says why.
            Err(error) => match tokio::time::timeout(GRACE, end).await {
                Ok(Ok(ended)) if ended.status_code != StatusCode::Success => Ok(ended),
                _ => Err(error),
            },
        },
    }
}

fn exit_code(operation: Operation) -> Result<i32> {
    let code = operation
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.get("return")?.as_i64())
        .and_then(|code| i32::try_from(code).ok());
    match (success(operation), code) {
        (Ok(_), Some(code)) => Ok(code),
        (Ok(operation), None) => Err(Error::Unexpected {
            request: format!("the wait for operation {}", operation.id),
            what: "it has no exit code".into(),
        }),
        (Err(Error::Operation { text, .. }), Some(code)) if code > 0 => {
            Err(Error::Command { code, text })
        }
        (Err(error), _) => Err(error),
    }
}

/// Writes what a socket brings until the stream ends.
pub(crate) async fn receive(
    mut from: impl futures::Stream<Item = Item> + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    action: &'static str,
) -> Result<()> {
    let failed = |source| Error::Stream { action, source };
    loop {
        match received(from.next().await) {
            Received::Data(bytes) => {
                to.write_all(&bytes).await.map_err(failed)?;
                to.flush().await.map_err(failed)?;
            }
            Received::End => return Ok(()),
            Received::Other => {}
        }
    }
}

pub(crate) type Item = Result<Message, tokio_tungstenite::tungstenite::Error>;

/// Sends what is read until it ends, and then its end. Returns only when reading fails: a socket
/// that takes no more only means that the program does not read.
pub(crate) async fn send(
    mut to: SplitSink<Socket, Message>,
    from: &mut (impl AsyncRead + Unpin),
) -> Error {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => {
                let _ = to.send(Message::text("")).await;
                return std::future::pending().await;
            }
            Ok(read) => {
                let message = Message::binary(buffer[..read].to_vec());
                if to.send(message).await.is_err() {
                    return std::future::pending().await;
                }
            }
            Err(source) => return Error::Stream { action: "read standard input", source },
        }
    }
}

/// As [`send`], for a socket that carries nothing back but pings.
async fn feed(socket: Socket, from: &mut (impl AsyncRead + Unpin)) -> Error {
    let (to, from_server) = socket.split();
    tokio::select! {
        error = send(to, from) => error,
        () = drain_stream(from_server) => std::future::pending().await,
    }
}

async fn drain_stream(mut from: SplitStream<Socket>) {
    while let Some(Ok(_)) = from.next().await {}
}

async fn drain(socket: &mut Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// A control message, as LXD's client writes it: numbers of the window's size are text.
fn command(control: ExecControl) -> String {
    #[derive(Serialize)]
    struct Command {
        command: &'static str,
        args: Option<Args>,
        signal: i32,
    }
    #[derive(Serialize)]
    struct Args {
        height: String,
        width: String,
    }
    let command = match control {
        ExecControl::Resize { width, height } => Command {
            command: "window-resize",
            args: Some(Args { height: height.to_string(), width: width.to_string() }),
            signal: 0,
        },
        ExecControl::Signal(signal) => Command { command: "signal", args: None, signal },
    };
    serde_json::to_string(&command).expect("it has only text and numbers") + "\n"
}

/// The message that says the window's size.
pub(crate) fn resize(width: u16, height: u16) -> Message {
    Message::text(command(ExecControl::Resize { width, height }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_written_as_lxds_client_writes_them() {
        assert_eq!(
            command(ExecControl::Resize { width: 132, height: 50 }),
            "{\"command\":\"window-resize\",\"args\":{\"height\":\"50\",\"width\":\"132\"},\"signal\":0}\n"
        );
        assert_eq!(
            command(ExecControl::Signal(15)),
            "{\"command\":\"signal\",\"args\":null,\"signal\":15}\n"
        );
    }
}
