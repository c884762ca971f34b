//! `exec`: a program inside, connected to its client by the websockets of an operation, as LXD has
//! it ([`websockets`]), or by one connection ([`connection`]).

mod connection;
mod websockets;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use sc_agent_protocol::{ExecRequest, WindowSize};
use sc_api::{ErrorKind, InstanceExecPost};
use serde_json::Map;
use tokio::sync::oneshot;

use super::agent::{AgentLink, shown};
use super::stream::Stream;
use crate::error::{Context, Error, Result};
use crate::operation::Output;

pub use connection::Program;
pub(super) use websockets::connected;
pub use websockets::{Sockets, run_split, run_terminal, sockets};

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

/// Tells a program that its client has gone; it ends within seconds.
async fn hang_up(link: &AgentLink, exec: u64) {
    if let Err(error) = link.hang_up(exec).await {
        tracing::debug!(error = %error.chain(), "hang up a program inside");
    }
}

/// How a program ended; the error is that its agent has ended first.
type ExitStatus = std::result::Result<i32, oneshot::error::RecvError>;

/// The result of an exec: its exit status. An agent that has gone took the program with it; one that is
/// there ends the programs of a connection that breaks.
fn finished(link: &AgentLink, status: ExitStatus) -> Result<Option<Output>> {
    let status = match status {
        Ok(status) => status,
        Err(_) if !link.agent_has_gone() => {
            let text = "the connection to the instance's agent broke, and the program was ended";
            return Err(Error::internal(text));
        }
        Err(_) => KILLED,
    };
    Ok(Some(Map::from_iter([("return".to_owned(), status.into())])))
}

/// What a program shows that was killed, which is what has happened to it when its agent has gone.
const KILLED: i32 = 137;

/// The status that a shell shows for a program that could not be started; `None` where it is not
/// the program's fault.
pub fn shell_status(error: &Error) -> Option<i32> {
    match error.kind() {
        ErrorKind::NotFound => Some(127),
        ErrorKind::Forbidden => Some(126),
        _ => None,
    }
}

/// Sends a signal to a program, which may have ended by now.
async fn signal(link: &AgentLink, exec: u64, signal: i32) {
    if let Err(error) = link.signal(exec, signal).await {
        tracing::debug!(error = %error.chain(), "signal a program inside");
    }
}

/// Gives a program's terminal another size.
fn resize(terminal: &Stream, size: WindowSize) {
    let size = rustix::termios::Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    if let Err(error) = rustix::termios::tcsetwinsize(terminal.fd(), size) {
        tracing::debug!(%error, "give a terminal another size");
    }
}

/// A pipe for each of a program's streams: its reading end and its writing end.
fn pipes(request: &ExecRequest) -> Result<[(OwnedFd, OwnedFd); 3]> {
    let pipe = || {
        let program = shown(request.command.first().map_or("", String::as_str));
        let made = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        made.context(format!("start {program} inside: make a pipe"))
    };
    Ok([pipe()?, pipe()?, pipe()?])
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
