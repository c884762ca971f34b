//! Pools that do not answer, as with a disk that hangs or a file server that is away.
//!
//! What waits for such a pool cannot be ended: it goes on when the pool answers. How long work in a pool
//! takes says nothing, since an image may be unpacked for minutes; so the pool is asked beside the work
//! for something that takes no time.

use std::sync::Arc;
use std::time::Duration;

use sc_api::{ErrorKind, PoolName};
use sc_storage::Driver;
use tokio::time::{sleep, timeout};

use crate::blocking::blocking;
use crate::error::{Error, Result};

/// How long a pool may take for what takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long work goes on before its pool is asked, and between one time and the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits for work in a pool for as long as the pool answers. What is given up is not ended.
pub async fn while_it_answers<T>(
    pool: &Arc<dyn Driver>,
    name: &PoolName,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    unless_silent(pool, work).await.unwrap_or_else(|| Err(silent(name)))
}

/// The same; `None` where the pool does not answer.
pub(super) async fn unless_silent<T>(
    pool: &Arc<dyn Driver>,
    work: impl Future<Output = Result<T>>,
) -> Option<Result<T>> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = silence(pool) => None,
    }
}

/// Waits for a look at a pool that takes no time.
pub async fn look<T>(name: &PoolName, look: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, look).await.unwrap_or_else(|_| Err(silent(name)))
}

/// Ends when the pool does not answer.
async fn silence(pool: &Arc<dyn Driver>) {
    loop {
        sleep(PAUSE).await;
        let pool = pool.clone();
        let asked = blocking(move || Ok(pool.touch()?));
        // An error is an answer: whoever works there meets it as well.
        if timeout(PATIENCE, asked).await.is_err() {
            return;
        }
    }
}

/// The refusal of a pool that does not answer.
pub(super) fn silent(name: &PoolName) -> Error {
    let seconds = PATIENCE.as_secs();
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "pool {name} does not answer within {seconds} s: see to its disk or file system, then try \
             again"
        ),
    )
}
