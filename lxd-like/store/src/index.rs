//! The index: all documents in memory, and the last changes. Readers use nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::change::{Batch, Change, Listing, Revision, Versioned};
use crate::key::Key;
use crate::watch::Compacted;

/// How many commits a watcher may be behind.
const HISTORY_COMMITS: usize = 4096;

/// How many bytes of changes are kept for watchers.
const HISTORY_BYTES: usize = 16 * 1024 * 1024;

/// What a database holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) revision: Revision,
    pub(crate) documents: BTreeMap<Key, (Revision, Arc<str>)>,
}

pub(crate) struct Index {
    state: RwLock<State>,
    newest: watch::Sender<Revision>,
}

struct State {
    contents: Contents,
    /// The newest batches: their revisions are without gaps and end with that of the contents.
    history: VecDeque<Arc<Batch>>,
    history_bytes: usize,
}

impl Index {
    pub(crate) fn new(contents: Contents) -> Self {
        let newest = watch::Sender::new(contents.revision);
        let state = State { contents, history: VecDeque::new(), history_bytes: 0 };
        Self { state: RwLock::new(state), newest }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // No panic is possible while it is locked for writing.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Versioned> {
        let state = self.read();
        let (key, (revision, json)) = state.contents.documents.get_key_value(key)?;
        Some(Versioned { key: key.clone(), revision: *revision, json: json.clone() })
    }

    /// The revision of the document at `key`.
    pub(crate) fn revision_of(&self, key: &str) -> Option<Revision> {
        self.read().contents.documents.get(key).map(|(revision, _)| *revision)
    }

    pub(crate) fn list(&self, prefix: &str) -> Listing {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        let state = self.read();
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let documents = state.contents.documents.range::<str, _>(from);
        let documents = documents
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(key, (revision, json))| Versioned {
                key: key.clone(),
                revision: *revision,
                json: json.clone(),
            })
            .collect();
        Listing { revision: state.contents.revision, documents }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.read().contents.revision
    }

    /// Makes commits visible, all at once. Their revisions follow the newest without a gap.
    pub(crate) fn apply(&self, batches: Vec<Batch>) {
        let Some(last) = batches.last().map(|batch| batch.revision) else { return };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            state.apply(batch);
        }
        drop(state);
        self.newest.send_replace(last);
    }

    /// Tells when there are new commits.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// The batch that follows `after`, if there is one yet.
    pub(crate) fn next_batch(&self, after: Revision) -> Result<Option<Arc<Batch>>, Compacted> {
        let state = self.read();
        let newest = state.contents.revision;
        if after == newest {
            return Ok(None);
        }
        let oldest = Revision(newest.0 - state.history.len() as u64);
        if after < oldest || after > newest {
            return Err(Compacted { from: after, oldest, newest });
        }
        let index = usize::try_from(after.0 - oldest.0).expect("it is within the history");
        Ok(Some(state.history[index].clone()))
    }
}

impl State {
    fn apply(&mut self, batch: Batch) {
        let documents = &mut self.contents.documents;
        for change in &batch.changes {
            match change {
                Change::Put { key, json } => {
                    documents.insert(key.clone(), (batch.revision, json.clone()));
                }
                Change::Delete { key } => {
                    documents.remove(key);
                }
            }
        }
        self.contents.revision = batch.revision;
        self.history_bytes += size(&batch);
        self.history.push_back(Arc::new(batch));
        while self.history.len() > HISTORY_COMMITS || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= size(&oldest);
        }
    }
}

fn size(batch: &Batch) -> usize {
    batch.changes.iter().map(Change::size).sum()
}
