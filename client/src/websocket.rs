//! Websockets over the daemon's unix socket.

use http::Method;
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::{Client, error_text};
use crate::error::{Error, Result};
use crate::resource::encode;

pub(crate) type Socket = WebSocketStream<UnixStream>;

/// More than any frame that is sent to us; a list of operations in an event may be long.
const MAX_MESSAGE: usize = 16 << 20;

impl Client {
    /// Opens the websocket at `path`.
    pub(crate) async fn websocket(&self, path: &str) -> Result<Socket> {
        let described = format!("{} {path}", Method::GET);
        let broken = |source: tungstenite::Error| Error::Broken {
            request: described.clone(),
            source: source.into(),
        };
        let stream = self.transport.connect().await?;
        let request = format!("ws://unix.socket{path}").into_client_request().map_err(broken)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        match self.patiently(client_async_with_config(request, stream, Some(config))).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                let status = response.status().as_u16();
                let body = response.body().as_deref().unwrap_or_default();
                Err(Error::Server { status, text: error_text(status, body) })
            }
            Err(error) => Err(broken(error)),
        }
    }

    /// Opens the websocket of an operation that `secret` stands for.
    pub(crate) async fn operation_socket(&self, id: &str, secret: &str) -> Result<Socket> {
        let (id, secret) = (encode(id), encode(secret));
        self.websocket(&format!("/1.0/operations/{id}/websocket?secret={secret}")).await
    }
}

/// What a message means on a socket that carries a stream of bytes.
pub(crate) enum Received {
    /// Bytes of the stream.
    Data(bytes::Bytes),
    /// The stream has ended: LXD says so by an empty text frame, or just closes.
    End,
    /// Nothing to do with the stream.
    Other,
}

/// Reads a stream's message. A connection that breaks ends the stream: whether that was too early
/// is known from the operation.
pub(crate) fn received(message: Option<tungstenite::Result<Message>>) -> Received {
    match message {
        Some(Ok(Message::Binary(bytes))) => Received::Data(bytes),
        Some(Ok(Message::Text(text))) if text.is_empty() => Received::End,
        Some(Ok(Message::Text(text))) => Received::Data(text.into()),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Received::End,
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Received::Other,
    }
}
