//! A pool in use. One that does not answer, as with a disk that hangs or a file server that is away, keeps
//! nobody waiting for long.
//!
//! What waits for such a pool cannot be ended: it goes on when the pool answers. How long work in a pool takes
//! says nothing, since an image may be unpacked for minutes; so the pool is asked beside the work for something
//! that takes no time. All who wait share one question, as whatever thread asks it may never come back; and
//! while one is not answered in time, no more work is begun.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sc_api::{ErrorKind, PoolName};
use sc_storage::Driver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::blocking::blocking;
use crate::error::{Error, Result};

/// How long a pool may take for what takes no time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long work goes on before its pool is asked, and between one time and the next.
const PAUSE: Duration = Duration::from_secs(2);

/// A pool in use. Clones are handles to the same; its driver's calls block.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Open>);

#[derive(Debug)]
struct Open {
    name: PoolName,
    driver: Arc<dyn Driver>,
    asked: Mutex<Option<Question>>,
    /// Held by who removes volumes that were deleted while the pool could not be used.
    dropping: tokio::sync::Mutex<()>,
}

/// Whether a pool answers. The sender goes with the answer.
#[derive(Debug, Clone)]
struct Question {
    since: Instant,
    open: watch::Receiver<()>,
}

impl Deref for Pool {
    type Target = dyn Driver;

    fn deref(&self) -> &Self::Target {
        &*self.0.driver
    }
}

impl Pool {
    /// The pool of that name, which `driver` works in.
    pub(super) fn new(name: PoolName, driver: Arc<dyn Driver>) -> Self {
        Self(Arc::new(Open { name, driver, asked: Mutex::default(), dropping: Default::default() }))
    }

    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.0.name
    }

    /// Does what takes no time where the pool answers.
    pub async fn work<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Driver) -> sc_storage::Result<T> + Send + 'static,
    {
        let pool = self.clone();
        self.while_it_answers(blocking(move || Ok(work(&*pool)?))).await
    }

    /// Waits for work in the pool for as long as the pool answers. What is given up is not ended.
    pub async fn while_it_answers<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.unless_silent(work).await.unwrap_or_else(|| Err(silent(self.name())))
    }

    /// The same; `None` where the pool does not answer.
    pub(super) async fn unless_silent<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Option<Result<T>> {
        if self.is_silent() {
            return None;
        }
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.silence() => None,
        }
    }

    /// Refuses a pool that does not answer.
    pub(super) async fn check_answers(&self) -> Result<()> {
        if self.ask().answered().await { Ok(()) } else { Err(silent(self.name())) }
    }

    /// Closes the pool, once nobody else works in it, such as who empties its trash.
    pub(super) async fn close(self) {
        while Arc::strong_count(&self.0) > 1 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets one at a time remove volumes that were deleted while the pool could not be used.
    pub(super) async fn dropping(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.dropping.lock().await
    }

    /// Ends when the pool does not answer.
    async fn silence(&self) {
        loop {
            sleep(PAUSE).await;
            if !self.ask().answered().await {
                return;
            }
        }
    }

    fn is_silent(&self) -> bool {
        self.asked()
            .as_ref()
            .is_some_and(|asked| asked.is_open() && asked.since.elapsed() >= PATIENCE)
    }

    /// The question that is open, or a new one. An error is an answer: whoever works there meets it as well.
    fn ask(&self) -> Question {
        let mut asked = self.asked();
        if let Some(open) = asked.as_ref().filter(|asked| asked.is_open()) {
            return open.clone();
        }
        let (answer, open) = watch::channel(());
        let pool = self.clone();
        tokio::task::spawn_blocking(move || {
            let _ = pool.touch();
            drop(answer);
        });
        asked.insert(Question { since: Instant::now(), open }).clone()
    }

    fn asked(&self) -> MutexGuard<'_, Option<Question>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    fn is_open(&self) -> bool {
        self.open.has_changed().is_ok()
    }

    /// Whether it is answered in time.
    async fn answered(mut self) -> bool {
        timeout_at(self.since + PATIENCE, self.open.changed()).await.is_ok()
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
