//! Restarts that are to be finished later: those that an earlier daemon had begun, until this one comes to them,
//! and those that this one leaves to the next. They are in the journal; here is who may still have them done.
//!
//! Whoever takes them does so for good: who finishes them, or who stops the instance and means it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sc_api::InstanceName;
use sc_store::IntentId;

/// The restarts of one daemon that are to be finished, by their entries in the journal.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<BTreeMap<InstanceName, BTreeSet<IntentId>>>);

impl Unfinished {
    /// Notes some of an instance.
    pub fn note(&self, name: &InstanceName, restarts: impl IntoIterator<Item = IntentId>) {
        self.lock().entry(name.clone()).or_default().extend(restarts);
    }

    /// Takes those of an instance; none where another has.
    pub fn take(&self, name: &InstanceName) -> BTreeSet<IntentId> {
        self.lock().remove(name).unwrap_or_default()
    }

    /// Whether an instance has some.
    pub fn has(&self, name: &InstanceName) -> bool {
        self.lock().contains_key(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, BTreeSet<IntentId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
