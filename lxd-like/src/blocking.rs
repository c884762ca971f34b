//! Work that blocks, beside the runtime's own threads.

use crate::error::{Error, Result};

/// Runs blocking work on a thread that may block.
pub async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::internal(format!("a worker ended early: {error}"))))
}
