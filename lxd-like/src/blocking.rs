//! Work that blocks, beside the runtime's own threads.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// How many threads may look at what does not answer: such a thread is lost until it does.
static LOOKS: Semaphore = Semaphore::const_new(64);

/// Runs blocking work on a thread that may block.
pub async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    ended(tokio::task::spawn_blocking(work)).await
}

/// Looks at what may lie on a file system that does not answer; `None` where it does not within `patience`.
pub async fn look<T, F>(patience: Duration, look: F) -> Option<Result<T>>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let looking = async {
        let turn = LOOKS.acquire().await.map_err(|_| Error::internal("nobody may look"))?;
        blocking(move || {
            let _turn = turn;
            look()
        })
        .await
    };
    timeout(patience, looking).await.ok()
}

/// What a task comes to. Whoever waits no longer for it does not end it.
pub async fn ended<T>(
    task: impl Future<Output = std::result::Result<Result<T>, JoinError>>,
) -> Result<T> {
    task.await.unwrap_or_else(|error| Err(Error::internal(format!("a task ended early: {error}"))))
}
