//! All instances of this daemon, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sc_api::InstanceName;

use super::handle::InstanceHandle;
use crate::error::{Error, Result};

/// The instances there are.
#[derive(Debug, Default)]
pub struct Instances {
    all: RwLock<BTreeMap<InstanceName, Arc<InstanceHandle>>>,
}

impl Instances {
    /// The instance of this name.
    pub fn get(&self, name: &str) -> Result<Arc<InstanceHandle>> {
        let found =
            name.parse().ok().and_then(|name: InstanceName| self.read().get(&name).cloned());
        found.ok_or_else(|| Error::not_found("Instance not found"))
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Arc<InstanceHandle>> {
        self.read().values().cloned().collect()
    }

    pub(super) fn insert(&self, handle: Arc<InstanceHandle>) {
        self.write().insert(handle.name().clone(), handle);
    }

    pub(super) fn remove(&self, name: &InstanceName) {
        self.write().remove(name);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<InstanceName, Arc<InstanceHandle>>> {
        self.all.read().expect("no panic while the registry is locked")
    }

    fn write(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, BTreeMap<InstanceName, Arc<InstanceHandle>>> {
        self.all.write().expect("no panic while the registry is locked")
    }
}
