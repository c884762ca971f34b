//! The store: typed documents under keys, each with a revision, changed by atomic commits.
//!
//! Three verbs are all there is, because two very different things must be able to stand behind
//! them (a file of this machine today, a cluster's shared state later):
//!
//! - [`Store::get`] and [`Store::list`] read from memory and never wait;
//! - [`Store::commit`] changes up to [`MAX_CHANGES`] documents at once, if every guarded key still
//!   has its revision. When it returns, the change is on the disk and readers see it;
//! - [`Store::watch`] tells every later change in order, or that it can no longer.
//!
//! Above the verbs stands the typed layer ([`Document`], [`Draft`]); beside them the
//! [`Journal`] of what is under way in the outside world, and [`Steps`], which numbers the steps of
//! an operation so that tests can fail it at each of them.
//!
//! ```text
//!  get, list ───────────────> index (memory) <──── applies ────┐
//!  watch     <── history ────┘                                 │
//!  commit    ── queue ──> writer thread ── one transaction ──> file
//! ```
#![warn(missing_docs)]

mod change;
mod document;
mod draft;
mod error;
mod index;
mod journal;
mod key;
mod lock;
mod log;
mod migrate;
mod sqlite;
mod steps;
mod watch;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use change::{
    Batch, Change, Expected, Guard, Listing, MAX_BYTES, MAX_CHANGES, Revision, Versioned,
};
pub use document::{Doc, Document, delete_doc, put_doc};
pub use draft::Draft;
pub use error::{CommitError, DocumentError, Error, OpenError};
pub use journal::{IntentId, Journal};
pub use key::{Key, KeyError};
pub use steps::{Injected, OperationSteps, PlanError, Steps};
pub use watch::{Compacted, Watch};

use index::Index;
use writer::Writer;

/// The store of one daemon. Clones are handles to the same store.
#[derive(Clone)]
pub struct Store {
    index: Arc<Index>,
    writer: Arc<Writer>,
}

impl Store {
    /// Opens the store in the folder `dir`, which is made if it is not there, and reads all of it
    /// into memory. Blocks; meant for the daemon's start.
    ///
    /// # Errors
    ///
    /// Fails when another process has it open, when the file is damaged or of a newer version (it
    /// is then left exactly as it is), and when a system call fails.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let (database, contents) = sqlite::Database::open(dir, migrate::SCHEMA)?;
        let index = Arc::new(Index::new(contents));
        let writer = Arc::new(Writer::start(database, index.clone())?);
        Ok(Self { index, writer })
    }

    /// The document at `key`, if there is one. Never waits for the disk.
    pub fn get(&self, key: &str) -> Option<Versioned> {
        self.index.get(key)
    }

    /// Every document beneath `prefix` in the order of the keys, and the revision at which that is
    /// true. `/instances` and `/instances/` both mean what is under that segment; `/` is all.
    pub fn list(&self, prefix: &str) -> Listing {
        self.index.list(prefix)
    }

    /// The revision of the newest commit.
    pub fn revision(&self) -> Revision {
        self.index.revision()
    }

    /// Makes all of `changes`, if all `guards` hold, else none; returns its revision. When it
    /// returns, the change is durable and [`Store::get`] shows it. A commit without changes only
    /// checks the guards.
    ///
    /// If the future is dropped early, the commit may still happen.
    ///
    /// # Errors
    ///
    /// [`CommitError::Conflict`] names the first guarded key that has another revision.
    pub async fn commit(
        &self,
        guards: Vec<Guard>,
        changes: Vec<Change>,
    ) -> Result<Revision, CommitError> {
        change::check(&guards, &changes)?;
        self.writer.commit(guards, changes).await
    }

    /// Commits a [`Draft`].
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub async fn apply(&self, draft: Draft) -> Result<Revision, CommitError> {
        let (guards, changes) = draft.into_parts();
        self.commit(guards, changes).await
    }

    /// Watches all changes after `from`, which is typically the revision of a [`Listing`].
    ///
    /// # Errors
    ///
    /// [`Compacted`] when the changes right after `from` are no longer known: list again.
    pub fn watch(&self, from: Revision) -> Result<Watch, Compacted> {
        Watch::new(self.index.clone(), from)
    }

    /// The document of type `T` with this id.
    ///
    /// # Errors
    ///
    /// Fails when the id cannot be one, or when what is there cannot be read as a `T`.
    pub fn get_doc<T: Document>(&self, id: &[&str]) -> Result<Option<Doc<T>>, DocumentError> {
        let key = document::key::<T>(id)?;
        self.get(&key).map(|found| Doc::read(&found)).transpose()
    }

    /// Every document of type `T` whose id begins with the segments `within`, in the order of the
    /// keys. `&[]` is all.
    ///
    /// # Errors
    ///
    /// As [`Store::get_doc`].
    pub fn list_docs<T: Document>(&self, within: &[&str]) -> Result<Vec<Doc<T>>, DocumentError> {
        self.list(&document::key::<T>(within)?).iter().map(Doc::read).collect()
    }

    /// Ends the store after what is queued: everything is on the disk, the file is closed and the
    /// lock on the folder is given back. Commits through other handles then fail with
    /// [`CommitError::Closed`]; reading still works. Dropping the last handle does the same.
    pub async fn close(self) {
        self.writer.close().await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
