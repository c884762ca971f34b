//! LXD's websockets, for a server that does not know our own way.
//!
//! Without a terminal there are three sockets, one a stream; with one, a single socket goes both
//! ways. Each stream has a loop of its own that takes the next piece only when the last one was
//! written, so a slow reader holds back the program and nothing is kept here. The operation is
//! waited for at the same time. `control` carries signals and the window's size, and by its end the
//! server knows that the caller has died. Without a terminal it is connected when the program has
//! run for a moment, or gets a signal: most have ended by then.

use futures::StreamExt;
use sc_api::Operation;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

use super::control::pass_control;
use super::session::{Secrets, with_operation};
use super::streams::{feed, receive, send};
use super::{ExecControl, ExecStreams};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::operation::success;

/// Serves a program to the end of its operation, and returns its exit code.
pub(super) async fn run<I, O, E>(
    client: &Client,
    operation: Operation,
    interactive: bool,
    streams: ExecStreams<I, O, E>,
    control: mpsc::Receiver<ExecControl>,
) -> Result<i32>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let (secrets, finished) = (Secrets::of(&operation)?, Notify::new());
    let running = Running { client, secrets, streams, control, finished: &finished };
    let io = async {
        match interactive {
            true => running.on_terminal().await,
            false => running.plainly().await,
        }
    };
    let ended = with_operation(client.wait_end(operation), io, &finished).await;
    exit_code(ended.map_err(|error| match error {
        Error::Broken { source: by, .. } => Error::BrokenExec { by },
        error => error,
    })?)
}

/// A program that was started, and all that its streams need.
struct Running<'a, I, O, E> {
    client: &'a Client,
    secrets: Secrets,
    streams: ExecStreams<I, O, E>,
    control: mpsc::Receiver<ExecControl>,
    /// Told when the output has ended. The program may still run then, and would be killed if
    /// `control` were closed: so nothing here ends by itself.
    finished: &'a Notify,
}

impl<I, O, E> Running<'_, I, O, E>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    /// Runs the streams of a program without a terminal.
    async fn plainly(mut self) -> Result<()> {
        let connect = |name| self.secrets.connect(self.client, name);
        let (stdin, stdout, stderr) = tokio::try_join!(connect("0"), connect("1"), connect("2"))?;
        let outputs = async {
            tokio::try_join!(
                receive(stdout, &mut self.streams.stdout, "write standard output"),
                receive(stderr, &mut self.streams.stderr, "write standard error"),
            )?;
            self.finished.notify_one();
            std::future::pending().await
        };
        tokio::select! {
            failed = outputs => failed,
            error = feed(stdin, &mut self.streams.stdin) => Err(error),
            never = pass_control(self.client, &self.secrets, None, &mut self.control) => match never {},
        }
    }

    /// Runs the one stream of a program on a terminal. Its socket is closed from our side first
    /// when the output has ended, as LXD's server waits for that.
    async fn on_terminal(mut self) -> Result<()> {
        // `control` is connected at once: by its end the server knows that we are gone.
        let connect = |name| self.secrets.connect(self.client, name);
        let (data, commands) = tokio::try_join!(connect("0"), connect("control"))?;
        let terminal = async {
            let (to, from) = data.split();
            tokio::select! {
                ended = receive(from, &mut self.streams.stdout, "write standard output") => ended?,
                error = send(to, &mut self.streams.stdin) => return Err(error),
            }
            self.finished.notify_one();
            std::future::pending().await
        };
        let control = pass_control(self.client, &self.secrets, Some(commands), &mut self.control);
        tokio::select! {
            failed = terminal => failed,
            never = control => match never {},
        }
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
