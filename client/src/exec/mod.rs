//! Programs run inside an instance, by LXD's websockets.
//!
//! Without a terminal there are three sockets, one a stream; with one, a single socket goes both
//! ways. Each stream has a loop of its own that takes the next piece only when the last one was
//! written, so a slow reader holds back the program and nothing is kept here. The operation is
//! waited for at the same time. `control` carries signals and the window's size, and by its end the
//! server knows that the caller has died. Without a terminal it is connected when the program has
//! run for a moment, or gets a signal: most have ended by then.

mod control;
mod session;
mod streams;

use futures::StreamExt;
use http::Method;
use sc_api::{InstanceExecPost, Operation};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

pub use self::control::ExecControl;
pub(crate) use self::control::resize;
pub(crate) use self::session::{Secrets, with_operation};
pub(crate) use self::streams::receive;

use self::control::pass_control;
use self::streams::{feed, send};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::operation::success;
use crate::resource::path;

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
        control: mpsc::Receiver<ExecControl>,
    ) -> Result<i32>
    where
        I: AsyncRead + Unpin,
        O: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let operation =
            self.start(Method::POST, &path(&["instances", instance, "exec"]), post).await?;
        let (secrets, finished) = (Secrets::of(&operation)?, Notify::new());
        let running = Running { client: self, secrets, streams, control, finished: &finished };
        let io = async {
            match post.interactive {
                true => running.on_terminal().await,
                false => running.plainly().await,
            }
        };
        let ended = with_operation(self.wait_end(operation), io, &finished).await;
        exit_code(ended.map_err(|error| match error {
            Error::Broken { source: by, .. } => Error::BrokenExec { by },
            error => error,
        })?)
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
