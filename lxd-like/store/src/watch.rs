//! Watching: every commit after a revision, in order, or the answer that this cannot be had.
//!
//! A watch holds no queue: it reads the history that the index keeps for all. So one that is slow
//! costs nothing, and learns that it was too slow.

use std::sync::Arc;

use sc_api::ErrorKind;
use tokio::sync::watch;

use crate::change::{Batch, Revision};
use crate::index::Index;

/// The changes wanted are no longer known, or not yet possible: list again and watch from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("changes after revision {from} are not known: those after {oldest}, up to {newest}, are")]
pub struct Compacted {
    /// Where the watch stood.
    pub from: Revision,
    /// The oldest revision that can be watched from.
    pub oldest: Revision,
    /// The newest.
    pub newest: Revision,
}

impl Compacted {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// A stream of commits.
pub struct Watch {
    index: Arc<Index>,
    newest: watch::Receiver<Revision>,
    position: Revision,
}

impl Watch {
    pub(crate) fn new(index: Arc<Index>, from: Revision) -> Result<Self, Compacted> {
        index.next_batch(from)?;
        Ok(Self { newest: index.subscribe(), index, position: from })
    }

    /// The next commit, as soon as there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Compacted`] when this watch has fallen too far behind; it stays so.
    pub async fn next(&mut self) -> Result<Arc<Batch>, Compacted> {
        loop {
            // Marked before the look, so that a commit between the look and the wait wakes it.
            self.newest.borrow_and_update();
            if let Some(batch) = self.index.next_batch(self.position)? {
                self.position = batch.revision;
                return Ok(batch);
            }
            self.newest.changed().await.expect("the index is held and never drops its sender");
        }
    }

    /// The revision of the last commit that it has told, or the one it began from.
    pub fn position(&self) -> Revision {
        self.position
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("position", &self.position).finish_non_exhaustive()
    }
}
