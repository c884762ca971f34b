//! The console: a client's websockets joined to the stream that the agent gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use sc_agent_protocol::WindowSize;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::agent::AgentLink;
use super::exec::{self, Sockets};
use super::stream::{self, Stream};
use crate::error::{Context, Result};
use crate::operation::{Output, SocketSet};

/// The websockets of a console.
pub fn sockets() -> (Arc<SocketSet>, Sockets) {
    let (set, receivers) = SocketSet::new(&["0", "control"]);
    (Arc::new(set), receivers)
}

/// Joins a client to the console until it detaches, the guest ends, or another client takes over.
pub async fn run(
    link: Arc<AgentLink>,
    size: Option<WindowSize>,
    force: bool,
    mut sockets: Sockets,
) -> Result<Option<Output>> {
    // Attached first: a console that is taken is refused before the client has switched to raw.
    let attached = link.console(size, force).await?;
    let console = Arc::new(Stream::new(attached).context("open the console's stream")?);
    let control = sockets.remove("control").expect("made with the operation");
    let [data] = exec::connected(&mut sockets, ["0"]).await?;
    let (mut sink, mut source) = data.split();
    let never = CancellationToken::new();
    tokio::select! {
        () = stream::send_output(&console, &mut sink, &never) => {}
        _ = stream::receive_input(&console, &mut source) => {}
        () = watch_control(&link, control) => {}
    }
    Ok(None)
}

/// What clients send on the control websocket.
#[derive(Debug, Deserialize)]
struct ControlMessage {
    command: String,
    #[serde(default)]
    args: Option<BTreeMap<String, String>>,
}

/// Ends when the client detaches, which it does by closing its control websocket.
async fn watch_control(link: &AgentLink, socket: oneshot::Receiver<WebSocket>) {
    let Ok(mut socket) = socket.await else { return std::future::pending().await };
    while let Some(Ok(message)) = socket.next().await {
        let text = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let Ok(message) = serde_json::from_slice::<ControlMessage>(text) else { continue };
        if let Some(size) = resize(&message)
            && let Err(error) = link.resize_console(size).await
        {
            tracing::debug!(error = %error.chain(), "give the console another size");
        }
    }
}

fn resize(message: &ControlMessage) -> Option<WindowSize> {
    let args = message.args.as_ref().filter(|_| message.command == "window-resize")?;
    let number = |key: &str| args.get(key)?.parse().ok();
    Some(WindowSize { columns: number("width")?, rows: number("height")? })
}
