//! Connections: HTTP/1.1 over the unix socket.
//!
//! A connection is kept after its answer was read whole and taken again by the next request, so a
//! request, the wait for its operation and what follows share one. Requests that overlap open
//! connections of their own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::net::{RecvFlags, recv};
use tokio::net::UnixStream;

use crate::body::RequestBody;
use crate::error::{BrokenBy, Error, Result};
use crate::stream::AnswerFirst;

type Sender = SendRequest<RequestBody>;

/// The way to one daemon.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// An answer whose body is still to be read; its connection is kept once that is done.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response<Incoming>,
    pub connection: Connection,
}

/// The connection of an answer, to be handed back.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    /// Its socket once more, to look at it.
    socket: OwnedFd,
}

impl Connection {
    /// Whether the daemon has closed it: asked of the socket, since a process that was kept from
    /// running for a while (by a busy host, by ctrl-z) would hear of that only after its next request.
    fn is_closed(&self) -> bool {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let open = Err(rustix::io::Errno::AGAIN);
        // The daemon says nothing unasked: what can be read is the end.
        self.sender.is_closed() || recv(&self.socket, &mut [0; 1], look).map(drop) != open
    }
}

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
        while let Some(mut connection) = self.take_idle() {
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(Answer { response, connection }),
                Err(mut failed) => match failed.take_message() {
                    // The daemon had closed the kept connection: nothing was sent over it.
                    Some(unsent) => request = unsent,
                    None => return Err(broken(BrokenBy::Http(failed.into_error()))),
                },
            }
        }
        let mut connection = self.handshake().await.map_err(|error| match error {
            HandshakeError::Connect(error) => error,
            HandshakeError::Http(source) => broken(source.into()),
        })?;
        let sent = connection.sender.send_request(request);
        let response = sent.await.map_err(|source| broken(source.into()))?;
        Ok(Answer { response, connection })
    }

    /// Keeps the connection of an answer that was read whole.
    pub(crate) fn keep(&self, connection: Connection) {
        self.lock_idle().push(connection);
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.lock_idle();
        loop {
            let connection = idle.pop()?;
            if !connection.is_closed() {
                return Some(connection);
            }
        }
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("no panic while the idle connections are locked")
    }

    async fn handshake(&self) -> Result<Connection, HandshakeError> {
        let stream = self.connect().await.map_err(HandshakeError::Connect)?;
        let socket = stream.as_fd().try_clone_to_owned();
        let socket =
            socket.map_err(|e| HandshakeError::Connect(Error::connect(&self.socket, e)))?;
        let (sender, connection) = http1::handshake(TokioIo::new(AnswerFirst(stream)))
            .await
            .map_err(HandshakeError::Http)?;
        // Its failure reaches whoever waits for the answer.
        tokio::spawn(connection.with_upgrades());
        Ok(Connection { sender, socket })
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
