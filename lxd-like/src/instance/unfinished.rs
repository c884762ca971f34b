//! Restarts that are to be finished later: those that an earlier daemon had begun, until this one comes to them,
//! and those that this one leaves to the next. They are in the journal; here is which of them may still be done.
//!
//! They stay until they are finished, or somebody stops the instance and means it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sc_api::InstanceName;
use sc_store::IntentId;

/// The restarts of one daemon that are to be finished, by their entries in the journal.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<BTreeMap<InstanceName, BTreeSet<IntentId>>>);

impl Unfinished {
    /// Notes one of an instance.
    pub fn note(&self, name: &InstanceName, restart: IntentId) {
        self.lock().entry(name.clone()).or_default().insert(restart);
    }

    /// Those of an instance.
    pub fn of(&self, name: &InstanceName) -> BTreeSet<IntentId> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// Takes all of an instance, which is not to be started again.
    pub fn take(&self, name: &InstanceName) -> BTreeSet<IntentId> {
        self.lock().remove(name).unwrap_or_default()
    }

    /// Takes those of an instance that are finished; returns what nobody has taken before.
    pub fn finished(&self, name: &InstanceName, restarts: &BTreeSet<IntentId>) -> Vec<IntentId> {
        let mut all = self.lock();
        let Some(left) = all.get_mut(name) else { return Vec::new() };
        let taken = left.extract_if(.., |restart| restarts.contains(restart)).collect();
        if left.is_empty() {
            all.remove(name);
        }
        taken
    }

    /// Whether an instance has some.
    pub fn has(&self, name: &InstanceName) -> bool {
        self.lock().contains_key(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, BTreeSet<IntentId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
