//! A commit in the making.

use crate::change::{Change, Guard};
use crate::document::{Doc, Document, put_doc};
use crate::error::DocumentError;

/// Guards and changes that belong together. Nothing happens before [`crate::Store::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    guards: Vec<Guard>,
    changes: Vec<Change>,
}

impl Draft {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a guard.
    pub fn guard(&mut self, guard: Guard) -> &mut Self {
        self.guards.push(guard);
        self
    }

    /// Adds a change.
    pub fn change(&mut self, change: Change) -> &mut Self {
        self.changes.push(change);
        self
    }

    /// Writes a document that must not be there yet.
    ///
    /// # Errors
    ///
    /// As [`put_doc`].
    pub fn create<T: Document>(&mut self, document: &T) -> Result<&mut Self, DocumentError> {
        let change = put_doc(document)?;
        self.guards.push(Guard::absent(change.key().clone()));
        self.changes.push(change);
        Ok(self)
    }

    /// Writes a document over the one that was read, which must not have changed. Where its id is
    /// another, it moves there, and there must be none.
    ///
    /// # Errors
    ///
    /// As [`put_doc`].
    pub fn replace<T: Document>(
        &mut self,
        old: &Doc<T>,
        new: &T,
    ) -> Result<&mut Self, DocumentError> {
        let change = put_doc(new)?;
        if *change.key() != old.key {
            return self.delete(old).create(new);
        }
        self.guards.push(old.guard());
        self.changes.push(change);
        Ok(self)
    }

    /// Writes a document whatever was there.
    ///
    /// # Errors
    ///
    /// As [`put_doc`].
    pub fn put<T: Document>(&mut self, document: &T) -> Result<&mut Self, DocumentError> {
        self.changes.push(put_doc(document)?);
        Ok(self)
    }

    /// Removes the document that was read, which must not have changed.
    pub fn delete<T: Document>(&mut self, document: &Doc<T>) -> &mut Self {
        self.guards.push(document.guard());
        self.changes.push(Change::Delete { key: document.key.clone() });
        self
    }

    /// The two halves, as [`crate::Store::commit`] takes them.
    pub fn into_parts(self) -> (Vec<Guard>, Vec<Change>) {
        (self.guards, self.changes)
    }
}
