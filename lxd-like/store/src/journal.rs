//! The journal: what is under way in the outside world.
//!
//! An intent is a document at `/journal/<number>`. It is begun in the commit that comes before the
//! first effect, and cleared in the commit that holds the result, so that at every moment either
//! the documents tell the truth or an intent tells what is unfinished. What an intent holds is the
//! daemon's own type.
//!
//! An intent whose clearing fails is obeyed by the next daemon, however long ago that was. So whoever has
//! begun one either keeps it and goes by it, or is [done](Journal::done) with it: then it is cleared as
//! soon as the store takes it.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::change::{Change, MAX_CHANGES, Revision, Versioned};
use crate::document::{Doc, Document, put_at};
use crate::draft::Draft;
use crate::error::{CommitError, DocumentError, Error};
use crate::key::Key;

const PREFIX: &str = "/journal";
const VERSION: u32 = 1;

/// The number of an intent: the order in which they were begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntentId(u64);

impl IntentId {
    /// Its key. The number has all its digits, so that keys sort as numbers do.
    pub fn key(self) -> Key {
        Key::from_segments(["journal", &format!("{:020}", self.0)]).expect("digits make a segment")
    }

    fn from_key(key: &Key) -> Option<Self> {
        key.segments().nth(1)?.parse().ok().map(Self)
    }
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is kept of an intent.
#[derive(Debug, Serialize, Deserialize)]
struct Entry<I> {
    intent: I,
}

impl<I: Serialize + DeserializeOwned> Document for Entry<I> {
    const PREFIX: &'static str = PREFIX;
    const VERSION: u32 = VERSION;
    fn id(&self) -> Vec<String> {
        // An entry is written under its number, which it does not repeat.
        Vec::new()
    }
}

/// The journal of intents of type `I`. Clones share the numbering; there must be one journal to a
/// store.
pub struct Journal<I> {
    store: Store,
    next: Arc<AtomicU64>,
    /// Those that are done and could not be cleared yet.
    overdue: Arc<Mutex<BTreeSet<IntentId>>>,
    intent: PhantomData<fn() -> I>,
}

impl<I> Clone for Journal<I> {
    fn clone(&self) -> Self {
        let (store, next, overdue) = (self.store.clone(), self.next.clone(), self.overdue.clone());
        Self { store, next, overdue, intent: PhantomData }
    }
}

impl<I: Serialize + DeserializeOwned> Journal<I> {
    /// The journal in `store`.
    pub fn new(store: Store) -> Self {
        let pending = store.list(PREFIX);
        let last = pending.last().and_then(|last| IntentId::from_key(&last.key));
        // Counting on from the revision too keeps a number in the logs from meaning two intents.
        let next = last.map_or(0, |id| id.0).max(store.revision().0) + 1;
        let next = Arc::new(AtomicU64::new(next));
        Self { store, next, overdue: Arc::default(), intent: PhantomData }
    }

    /// A new intent, and the change that begins it, to be committed before the first effect.
    ///
    /// # Errors
    ///
    /// Fails when the intent cannot be written as JSON.
    pub fn begin_change(&self, intent: &I) -> Result<(IntentId, Change), DocumentError> {
        let id = IntentId(self.next.fetch_add(1, Ordering::Relaxed));
        Ok((id, put_at(id.key(), VERSION, &Entry { intent })?))
    }

    /// The change that clears an intent, to be committed with the documents that hold the result.
    pub fn clear_change(&self, id: IntentId) -> Change {
        Change::Delete { key: id.key() }
    }

    /// Begins an intent in a commit of its own.
    ///
    /// # Errors
    ///
    /// As [`Journal::begin_change`] and [`Store::commit`].
    pub async fn begin(&self, intent: &I) -> Result<IntentId, Error> {
        let (id, change) = self.begin_change(intent)?;
        self.commit(Some(change), None).await?;
        Ok(id)
    }

    /// Clears an intent in a commit of its own.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub async fn clear(&self, id: IntentId) -> Result<(), Error> {
        self.commit(None, Some(id)).await
    }

    /// Clears an intent of which nothing is left to be done. Where that fails it is cleared with the next
    /// commit of this journal.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub async fn done(&self, id: IntentId) -> Result<(), Error> {
        self.lock().insert(id);
        self.clear_overdue().await
    }

    /// Clears what is done and could not be cleared.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub async fn clear_overdue(&self) -> Result<(), Error> {
        self.commit(None, None).await
    }

    /// Commits a draft, and with it the clearing of what is overdue: nothing is acknowledged while an entry
    /// from before would have the next daemon undo it.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub async fn apply(&self, draft: Draft) -> Result<Revision, CommitError> {
        let (guards, mut changes) = draft.into_parts();
        let room = MAX_CHANGES.saturating_sub(changes.len());
        let overdue: Vec<_> = self.lock().iter().copied().take(room).collect();
        for change in overdue.iter().map(|id| self.clear_change(*id)) {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        let revision = self.store.commit(guards, changes).await?;
        self.lock().retain(|id| !overdue.contains(id));
        Ok(revision)
    }

    /// Commits the beginning or the clearing of an intent.
    async fn commit(&self, begun: Option<Change>, cleared: Option<IntentId>) -> Result<(), Error> {
        let mut draft = Draft::new();
        for change in begun.into_iter().chain(cleared.map(|id| self.clear_change(id))) {
            draft.change(change);
        }
        self.apply(draft).await?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<IntentId>> {
        self.overdue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every intent that is not cleared, in the order in which they were begun.
    ///
    /// # Errors
    ///
    /// Fails when one of them cannot be read: what it stands for must not be forgotten.
    pub fn pending(&self) -> Result<Vec<(IntentId, I)>, DocumentError> {
        let read = |found: &Versioned| {
            let id = IntentId::from_key(&found.key)
                .ok_or_else(|| DocumentError::Absent { key: found.key.clone() })?;
            Ok((id, Doc::<Entry<I>>::read(found)?.value.intent))
        };
        self.store.list(PREFIX).iter().map(read).collect()
    }
}
