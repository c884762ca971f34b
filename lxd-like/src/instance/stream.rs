//! Bytes between websockets and the descriptors of a program inside.
//!
//! LXD's conventions: data travels in binary frames, and an empty text frame is the end of the
//! data in its direction, after which the socket itself stays open.
//!
//! Nothing is buffered beyond one frame: a reader that is slow stops the program at its pipe, and
//! no byte is lost whatever the amount.

use std::os::fd::OwnedFd;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use sc_sys::reactor;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

/// How much is read at a time, and the size of a frame.
const CHUNK: usize = 64 * 1024;

/// How long, after the program has ended, output is waited for that a child of it still holds
/// open.
const LINGER: Duration = Duration::from_secs(1);

/// A descriptor (pipe, socket or pty) read and written without blocking.
#[derive(Debug)]
pub struct Stream {
    fd: AsyncFd<OwnedFd>,
}

impl Stream {
    /// Takes a descriptor and makes it non-blocking.
    pub fn new(fd: OwnedFd) -> std::io::Result<Self> {
        sc_sys::unix::set_blocking(&fd, sc_sys::unix::Blocking::No)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        Ok(Self { fd: reactor::watch(fd, both)? })
    }

    /// The descriptor.
    pub fn fd(&self) -> &OwnedFd {
        self.fd.get_ref()
    }

    /// Reads what is there, at least one byte; empty at the end, as [`Stream::read_into`].
    pub async fn read(&self) -> std::io::Result<Bytes> {
        // Room for it not before it is there: many programs say nothing for a long time.
        drop(self.fd.readable().await?);
        let mut buffer = BytesMut::zeroed(CHUNK);
        let count = self.read_into(&mut buffer).await?;
        buffer.truncate(count);
        Ok(buffer.freeze())
    }

    /// Reads what is there, at least one byte; none at the end. A pty whose other side is closed has
    /// ended.
    pub async fn read_into(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            let result = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *buffer)?));
            match result {
                Ok(Err(error))
                    if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
                {
                    return Ok(0);
                }
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(outcome) => return outcome,
                Err(_would_block) => {}
            }
        }
    }

    /// Reads what is there at this moment; none when that is nothing.
    pub fn read_now(&self, buffer: &mut [u8]) -> usize {
        rustix::io::read(self.fd(), buffer).unwrap_or(0)
    }

    /// Writes everything.
    pub async fn write_all(&self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.fd.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(Ok(count)) => bytes = &bytes[count..],
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

/// Sends what `stream` yields until its end, then the empty text frame. When `ended` (the program)
/// has come and nothing arrives for a second, that is the end too.
pub async fn send_output(
    stream: &Stream,
    socket: &mut SplitSink<WebSocket, Message>,
    ended: &CancellationToken,
) {
    loop {
        let bytes = tokio::select! {
            bytes = stream.read() => bytes,
            // On a busy machine the time may be over before what came in it was looked at.
            () = lingered(ended) => {
                let mut late = vec![0; CHUNK];
                let read = stream.read_now(&mut late);
                late.truncate(read);
                Ok(late.into())
            }
        };
        match bytes {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => {
                if socket.send(Message::Binary(bytes)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "reading a program's output ended");
                break;
            }
        }
    }
    let _ = socket.send(Message::Text("".into())).await;
}

/// Hands what the client sends to `stream` until the client's end of data, or its leaving.
/// Returns whether the client has left.
pub async fn receive_input(stream: &Stream, socket: &mut SplitStream<WebSocket>) -> ClientLeft {
    while let Some(message) = socket.next().await {
        let bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Text(text)) if text.is_empty() => return ClientLeft::No,
            Ok(Message::Text(text)) => Bytes::from(text),
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Close(_)) | Err(_) => return ClientLeft::Yes,
        };
        if stream.write_all(&bytes).await.is_err() {
            // The program has closed its input; what comes is of no use, but the client is there.
            return ClientLeft::No;
        }
    }
    ClientLeft::Yes
}

/// Hands what the client sends to `stream`, and returns when the client has left.
pub async fn receive_until_left(stream: &Stream, socket: &mut SplitStream<WebSocket>) {
    if receive_input(stream, socket).await == ClientLeft::No {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// Whether the client's connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientLeft {
    /// It has.
    Yes,
    /// It has only ended its data.
    No,
}

/// Comes a while after `ended`: what a child of the program holds open is waited for no longer.
pub async fn lingered(ended: &CancellationToken) {
    ended.cancelled().await;
    tokio::time::sleep(LINGER).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> (Stream, Stream) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (Stream::new(read).unwrap(), Stream::new(write).unwrap())
    }

    #[tokio::test]
    async fn everything_that_is_written_is_read_and_then_the_end() {
        let (reader, writer) = pipe();
        let sent = vec![7_u8; 1 << 20];
        let expected = sent.clone();
        let writing = tokio::spawn(async move { writer.write_all(&sent).await });
        let mut received = Vec::new();
        loop {
            let bytes = reader.read().await.unwrap();
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
        }
        writing.await.unwrap().unwrap();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn what_is_there_is_read_without_waiting_for_more() {
        let (reader, writer) = pipe();
        let mut buffer = [0; 8];
        assert_eq!(reader.read_now(&mut buffer), 0);
        writer.write_all(b"late").await.unwrap();
        assert_eq!(reader.read_now(&mut buffer), 4);
        assert_eq!(&buffer[..4], b"late");
        assert_eq!(reader.read_now(&mut buffer), 0);
    }

    #[tokio::test]
    async fn writing_to_a_program_that_reads_no_more_fails() {
        let (reader, writer) = pipe();
        drop(reader);
        assert!(writer.write_all(b"x").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn output_held_open_by_others_is_waited_for_a_second_after_the_end() {
        let ended = CancellationToken::new();
        let waiting = lingered(&ended);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        ended.cancel();
        waiting.await;
    }
}
