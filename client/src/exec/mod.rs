//! Programs run inside an instance.
//!
//! The request asks for its connection, and everything goes over that ([`connection`]). A server that
//! does not know this answers as LXD does, and is served so ([`websockets`]).

mod connection;
mod control;
mod session;
mod streams;
mod websockets;

use std::time::Duration;

use hyper_util::rt::TokioIo;
use sc_api::exec::{PROTOCOL, SHELL_STATUS};
use sc_api::{Envelope, InstanceExecPost};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub use self::control::ExecControl;
pub(crate) use self::control::resize;
pub(crate) use self::session::{Secrets, with_operation};
pub(crate) use self::streams::receive;

use crate::client::{Client, RawResponse, Switched, error_text, read_metadata};
use crate::error::{Error, Result};
use crate::operation::success;
use crate::resource::path;

/// How long a daemon is asked why a connection has ended.
const WHY: Duration = Duration::from_secs(5);

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
        let path = path(&["instances", instance, "exec"]);
        match self.switch(&path, post, PROTOCOL).await? {
            Switched::Yes { connection, operation } => {
                match connection::run(TokioIo::new(connection), streams, control).await {
                    Err(broken @ Error::BrokenExec { .. }) => {
                        Err(self.why_broken(operation, broken).await)
                    }
                    ended => ended,
                }
            }
            Switched::No(RawResponse { status: status @ (..200 | 300..), body, .. }) => {
                Err(refused(status, &body))
            }
            Switched::No(answer) => {
                let operation = read_metadata(&format!("POST {path}"), &answer)?;
                websockets::run(self, operation, post.interactive, streams, control).await
            }
        }
    }

    /// Why a connection has ended before its program: a daemon that is there knows that of its operation.
    async fn why_broken(&self, operation: Option<String>, broken: Error) -> Error {
        let Some(operation) = operation else { return broken };
        let path = format!("{operation}/wait?timeout={}", WHY.as_secs());
        match tokio::time::timeout(WHY, self.get(&path)).await {
            Ok(Ok(operation)) => match success(operation) {
                Err(why @ Error::Operation { .. }) => why,
                _ => broken,
            },
            _ => broken,
        }
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

/// Tells a program that could not be started from a request that was refused.
fn refused(status: u16, body: &[u8]) -> Error {
    let text = error_text(status, body);
    let envelope = serde_json::from_slice::<Envelope>(body).ok();
    let code = envelope.and_then(|envelope| envelope.metadata.get(SHELL_STATUS)?.as_i64());
    let code = code.and_then(|code| i32::try_from(code).ok());
    match code.filter(|code| *code > 0) {
        Some(code) => Error::Command { code, text },
        None => Error::Server { status, text },
    }
}
