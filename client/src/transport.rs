//! Connections: HTTP/1.1 over the unix socket.
//!
//! A connection is kept after its answer was read whole and taken again by the next request, so a
//! request, the wait for its operation and what follows share one. Requests that overlap open
//! connections of their own.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::body::RequestBody;
use crate::error::{BrokenBy, Error, Result};
use crate::stream::AnswerFirst;

type Sender = SendRequest<RequestBody>;

/// The way to one daemon.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: PathBuf,
    idle: Mutex<Vec<Sender>>,
}

/// An answer whose body is still to be read; its connection is kept once that is done.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response<Incoming>,
    pub connection: Connection,
}

/// The connection of an answer, to be handed back.
#[derive(Debug)]
pub(crate) struct Connection(Sender);

impl Transport {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A plain connection to the daemon.
    pub(crate) async fn connect(&self) -> Result<UnixStream> {
        UnixStream::connect(&self.socket).await.map_err(|e| Error::connect(&self.socket, e))
    }

    /// Sends a request, over a kept connection where there is one.
    pub(crate) async fn send(&self, mut request: Request<RequestBody>) -> Result<Answer> {
        let described = describe(&request);
        let broken = |source| Error::Broken { request: described.clone(), source };
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(Answer { response, connection: Connection(sender) }),
                Err(mut failed) => match failed.take_message() {
                    // The daemon had closed the kept connection: nothing was sent over it.
                    Some(unsent) => request = unsent,
                    None => return Err(broken(BrokenBy::Http(failed.into_error()))),
                },
            }
        }
        let mut sender = self.handshake().await.map_err(|error| match error {
            HandshakeError::Connect(error) => error,
            HandshakeError::Http(source) => broken(source.into()),
        })?;
        let response =
            sender.send_request(request).await.map_err(|source| broken(source.into()))?;
        Ok(Answer { response, connection: Connection(sender) })
    }

    /// Keeps the connection of an answer that was read whole.
    pub(crate) fn keep(&self, connection: Connection) {
        self.lock_idle().push(connection.0);
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.lock_idle();
        loop {
            let sender = idle.pop()?;
            if !sender.is_closed() {
                return Some(sender);
            }
        }
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Sender>> {
        self.idle.lock().expect("no panic while the idle connections are locked")
    }

    async fn handshake(&self) -> Result<Sender, HandshakeError> {
        let stream = self.connect().await.map_err(HandshakeError::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(AnswerFirst(stream)))
            .await
            .map_err(HandshakeError::Http)?;
        // Its failure reaches whoever waits for the answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}

enum HandshakeError {
    Connect(Error),
    Http(hyper::Error),
}

/// Method and path, for errors.
pub(crate) fn describe<B>(request: &Request<B>) -> String {
    format!("{} {}", request.method(), request.uri())
}
