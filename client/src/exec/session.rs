//! An operation with websockets, and the wait for its end beside them.

use std::time::Duration;

use sc_api::{Operation, StatusCode};
use tokio::sync::Notify;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::websocket::Socket;

/// How long the streams may go on after the operation has failed.
const GRACE: Duration = Duration::from_millis(500);

/// The secrets of an operation's websockets.
pub(crate) struct Secrets {
    operation: String,
    fds: serde_json::Map<String, serde_json::Value>,
}

impl Secrets {
    pub(crate) fn of(operation: &Operation) -> Result<Self> {
        let fds = operation.metadata.as_ref().and_then(|metadata| metadata.get("fds"));
        match fds.and_then(|fds| fds.as_object()) {
            Some(fds) => Ok(Self { operation: operation.id.clone(), fds: fds.clone() }),
            None => Err(Error::Unexpected {
                request: format!("POST for operation {}", operation.id),
                what: "it has no websockets".into(),
            }),
        }
    }

    pub(crate) async fn connect(&self, client: &Client, name: &str) -> Result<Socket> {
        match self.fds.get(name).and_then(|secret| secret.as_str()) {
            Some(secret) => client.operation_socket(&self.operation, secret).await,
            None => Err(Error::Unexpected {
                request: format!("POST for operation {}", self.operation),
                what: format!("it has no websocket {name:?}"),
            }),
        }
    }
}

/// Runs the streams beside the wait for their operation, and returns how that ended. Output that
/// is still on its way is waited for, until it has `finished`; a failed operation's only for a
/// moment.
pub(crate) async fn with_operation(
    end: impl Future<Output = Result<Operation>>,
    io: impl Future<Output = Result<()>>,
    finished: &Notify,
) -> Result<Operation> {
    tokio::pin!(end, io);
    tokio::select! {
        ended = &mut end => {
            let ended = ended?;
            let rest = async {
                tokio::select! {
                    () = finished.notified() => Ok(()),
                    done = io => done,
                }
            };
            if ended.status_code == StatusCode::Success {
                rest.await?;
            } else {
                let _ = tokio::time::timeout(GRACE, rest).await;
            }
            Ok(ended)
        }
        done = &mut io => match done {
            Ok(()) => end.await,
            // Our own output failed: the caller's sockets close, and the program with them.
            Err(error @ Error::Stream { .. }) => Err(error),
            // The sockets failed: most likely because the operation did, which says why.
            Err(error) => match tokio::time::timeout(GRACE, end).await {
                Ok(Ok(ended)) if ended.status_code != StatusCode::Success => Ok(ended),
                _ => Err(error),
            },
        },
    }
}
