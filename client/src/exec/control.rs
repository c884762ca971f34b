//! What the caller tells a running program: signals and the window's size.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::session::Secrets;
use crate::client::Client;
use crate::websocket::Socket;

/// How long a program without a terminal runs before `control` is connected.
const QUICK: Duration = Duration::from_millis(50);

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

/// Passes the caller's words on for ever. A socket that cannot be had, or ends, belongs to a
/// program that has ended.
pub(super) async fn pass_control(
    client: &Client,
    secrets: &Secrets,
    socket: Option<Socket>,
    control: &mut mpsc::Receiver<ExecControl>,
) -> std::convert::Infallible {
    let (mut first, mut socket) = (None, socket);
    if socket.is_none() {
        first = tokio::time::timeout(QUICK, control.recv()).await.ok().flatten();
        socket = secrets.connect(client, "control").await.ok();
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
