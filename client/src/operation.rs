//! Waiting for operations.

use std::time::Duration;

use sc_api::{EventType, Operation, StatusCode};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::resource::encode;

/// How long an operation may take before its progress is asked for. Most end sooner, and then
/// the events' connection is never made.
const QUICK: Duration = Duration::from_millis(100);

impl Client {
    /// Waits for an operation's end. One that does not end in success is an error.
    pub async fn wait(&self, operation: Operation) -> Result<Operation> {
        success(self.wait_end(operation).await.map_err(|error| match error {
            Error::Broken { source: by, .. } => Error::BrokenWait { by },
            error => error,
        })?)
    }

    /// As [`Client::wait`], and tells `progress` each change on the way.
    pub async fn wait_with_progress(
        &self,
        operation: Operation,
        progress: impl FnMut(&Operation),
    ) -> Result<Operation> {
        let id = operation.id.clone();
        tokio::select! {
            ended = self.wait(operation) => ended,
            never = self.follow(&id, progress) => match never {},
        }
    }

    /// Waits for an operation's end, whichever it is.
    pub(crate) async fn wait_end(&self, mut operation: Operation) -> Result<Operation> {
        while !operation.status_code.is_final() {
            let path = format!("/1.0/operations/{}/wait?timeout=-1", encode(&operation.id));
            operation = match self.get(&path).await {
                // It may have been the kept connection alone, which the daemon has given up when this
                // process or the host stood still. Where the daemon is away that was the reason.
                Err(broken @ Error::Broken { .. }) => self.get(&path).await.map_err(|_| broken)?,
                answered => answered?,
            };
        }
        Ok(operation)
    }

    /// Tells `progress` each change. Never returns: the end is the waiter's to see, and events
    /// that cannot be had cost nothing but the progress.
    async fn follow(
        &self,
        id: &str,
        mut progress: impl FnMut(&Operation),
    ) -> std::convert::Infallible {
        tokio::time::sleep(QUICK).await;
        // Listening begins before the look at what is, so that no change falls between.
        if let Ok(mut events) = self.events(&[EventType::Operation]).await {
            if let Ok(now) = self.operation(id).await {
                progress(&now);
            }
            while let Some(Ok(event)) = events.next().await {
                match serde_json::from_value::<Operation>(event.metadata) {
                    Ok(operation) if operation.id == id => progress(&operation),
                    _ => {}
                }
            }
        }
        std::future::pending().await
    }
}

/// The operation, if it ended in success.
pub(crate) fn success(operation: Operation) -> Result<Operation> {
    if operation.status_code == StatusCode::Success {
        return Ok(operation);
    }
    let text = match operation.err.as_str() {
        "" if operation.status_code == StatusCode::Cancelled => {
            "the operation was cancelled".into()
        }
        "" => format!("the operation ended as {:?}", operation.status),
        text => text.to_owned(),
    };
    Err(Error::Operation { status: operation.status_code, text })
}
