//! Claims: what must be unique has a key of its own.
//!
//! A guard on a document cannot exclude another document that says the same in one of its fields.
//! So whoever needs a name, an address or a port for himself writes `/claims/<kind>/<value>` in the
//! same commit, guarded to be absent, and deletes it in the commit that deletes the owner.

use serde::{Deserialize, Serialize};

use crate::Store;
use crate::change::{Change, Guard};
use crate::document::{Doc, Document, put_at};
use crate::error::DocumentError;
use crate::key::{Key, KeyError};

const PREFIX: &str = "/claims";
const VERSION: u32 = 1;

/// Something that can have one owner only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    key: Key,
}

/// The document of a claim.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    owner: String,
}

impl Document for Owner {
    const PREFIX: &'static str = PREFIX;
    const VERSION: u32 = VERSION;
    fn id(&self) -> Vec<String> {
        // A claim is written under the key of what is claimed, which the owner does not tell.
        Vec::new()
    }
}

impl Claim {
    /// The claim on `value` among all of its `kind`, as `("mac", "00:16:3e:00:00:01")`.
    ///
    /// # Errors
    ///
    /// Fails when either is empty or far too long.
    pub fn new(kind: &str, value: &str) -> Result<Self, KeyError> {
        Ok(Self { key: Key::from_segments(["claims", kind, value])? })
    }

    /// The kind and the value of the claim at `key`, if it is one: tells what the key of a
    /// [`crate::CommitError::Conflict`] stands for.
    pub fn parts(key: &Key) -> Option<(String, String)> {
        let mut segments = key.segments();
        let parts = (segments.next()?, segments.next()?, segments.next()?);
        match (parts, segments.next()) {
            ((first, kind, value), None) if first == "claims" => Some((kind, value)),
            _ => None,
        }
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The guard that it is free.
    pub fn guard(&self) -> Guard {
        Guard::absent(self.key.clone())
    }

    /// The change that gives it to `owner`, typically the key of the owner's document.
    ///
    /// # Errors
    ///
    /// Never in practice: the owner is a text.
    pub fn put(&self, owner: &str) -> Result<Change, DocumentError> {
        put_at(self.key.clone(), VERSION, &Owner { owner: owner.to_owned() })
    }

    /// The change that frees it. Belongs in a commit that is guarded by the owner's document.
    pub fn release(&self) -> Change {
        Change::Delete { key: self.key.clone() }
    }

    /// Who has it.
    ///
    /// # Errors
    ///
    /// Fails when the document cannot be read.
    pub fn owner(&self, store: &Store) -> Result<Option<String>, DocumentError> {
        let found = store.get(&self.key);
        found.map(|found| Ok(Doc::<Owner>::read(&found)?.value.owner)).transpose()
    }
}
