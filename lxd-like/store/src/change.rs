//! What a commit is made of, what reading gives, and the limits.

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::CommitError;
use crate::key::Key;

/// The most changes, and the most guards, of one commit.
pub const MAX_CHANGES: usize = 128;

/// The most bytes of one commit: its keys and documents together.
pub const MAX_BYTES: usize = 1_500_000;

/// The number of a commit. Every commit that changes something has the next one; a document has
/// that of the commit that wrote it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A document as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Its key.
    pub key: Key,
    /// The commit that wrote it.
    pub revision: Revision,
    /// Its text.
    pub json: Arc<str>,
}

/// Documents beneath a prefix. Reads as a slice of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The newest commit at that moment: watch from here to miss nothing.
    pub revision: Revision,
    /// The documents in the order of their keys.
    pub documents: Vec<Versioned>,
}

impl Deref for Listing {
    type Target = [Versioned];
    fn deref(&self) -> &[Versioned] {
        &self.documents
    }
}

impl IntoIterator for Listing {
    type Item = Versioned;
    type IntoIter = std::vec::IntoIter<Versioned>;
    fn into_iter(self) -> Self::IntoIter {
        self.documents.into_iter()
    }
}

/// A condition of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The key that must not have changed.
    pub key: Key,
    /// How it must be.
    pub expected: Expected,
}

/// What a guard wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no document.
    Absent,
    /// There is one, of this revision.
    At(Revision),
}

impl Guard {
    /// There must be no document at `key`.
    pub fn absent(key: Key) -> Self {
        Self { key, expected: Expected::Absent }
    }

    /// The document at `key` must be there and have this revision.
    pub fn at(key: Key, revision: Revision) -> Self {
        Self { key, expected: Expected::At(revision) }
    }

    /// Whether it holds where `found` is the revision of what is there.
    pub(crate) fn holds(&self, found: Option<Revision>) -> bool {
        match self.expected {
            Expected::Absent => found.is_none(),
            Expected::At(revision) => found == Some(revision),
        }
    }
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes it, whether there was one or not.
    Put {
        /// Where.
        key: Key,
        /// The whole document.
        json: Arc<str>,
    },
    /// Removes it, if it is there.
    Delete {
        /// Which.
        key: Key,
    },
}

impl Change {
    /// The key that is changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// The bytes that count towards [`MAX_BYTES`].
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Put { key, json } => key.len() + json.len(),
            Self::Delete { key } => key.len(),
        }
    }
}

/// The changes of one commit, as a watch tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The commit.
    pub revision: Revision,
    /// What it changed, in its order.
    pub changes: Vec<Change>,
}

/// Refuses what can never be committed, before it is queued.
pub(crate) fn check(guards: &[Guard], changes: &[Change]) -> Result<(), CommitError> {
    for (what, count) in [("guards", guards.len()), ("changes", changes.len())] {
        if count > MAX_CHANGES {
            return Err(CommitError::TooMany { what, count });
        }
    }
    let bytes = guards.iter().map(|guard| guard.key.len()).sum::<usize>()
        + changes.iter().map(Change::size).sum::<usize>();
    if bytes > MAX_BYTES {
        return Err(CommitError::TooLarge { bytes });
    }
    let mut keys = HashSet::new();
    for change in changes {
        if !keys.insert(change.key()) {
            return Err(CommitError::Twice { key: change.key().clone() });
        }
        if let Change::Put { key, json } = change {
            serde_json::from_str::<serde::de::IgnoredAny>(json)
                .map_err(|source| CommitError::NotJson { key: key.clone(), source })?;
        }
    }
    Ok(())
}
