//! One stream over one websocket, each way.

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::error::{Error, Result};
use crate::websocket::{Received, Socket, received};

/// The size of the frames that LXD's client sends.
const CHUNK: usize = 32 << 10;

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

type Item = Result<Message, tokio_tungstenite::tungstenite::Error>;

/// Sends what is read until it ends, and then its end. Returns only when reading fails: a socket
/// that takes no more only means that the program does not read.
pub(super) async fn send(
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
pub(super) async fn feed(socket: Socket, from: &mut (impl AsyncRead + Unpin)) -> Error {
    let (to, from_server) = socket.split();
    tokio::select! {
        error = send(to, from) => error,
        () = drain_stream(from_server) => std::future::pending().await,
    }
}

async fn drain_stream(mut from: SplitStream<Socket>) {
    while let Some(Ok(_)) = from.next().await {}
}
