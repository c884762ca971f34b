//! All instances of this daemon, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sc_api::InstanceName;
use tokio::sync::watch;

use super::handle::InstanceHandle;
use super::keep::Behind;
use super::unfinished::Unfinished;
use super::view::View;
use crate::context::Ctx;
use crate::error::Result;

/// The instances there are. Clones are handles to the same.
#[derive(Clone)]
pub struct Instances {
    ctx: Ctx,
    all: Arc<RwLock<All>>,
    behind: Arc<Behind>,
    unfinished: Arc<Unfinished>,
}

type All = BTreeMap<InstanceName, Arc<InstanceHandle>>;

impl Instances {
    /// No instance yet: see [`recover`](Self::recover).
    pub fn new(ctx: Ctx) -> Self {
        Self { ctx, all: Arc::default(), behind: Arc::default(), unfinished: Arc::default() }
    }

    /// The instance of this name.
    pub fn get(&self, name: &str) -> Result<Arc<InstanceHandle>> {
        let found =
            name.parse().ok().and_then(|name: InstanceName| self.read().get(&name).cloned());
        found.ok_or_else(|| super::handle::not_found(name))
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Arc<InstanceHandle>> {
        self.read().values().cloned().collect()
    }

    /// What they stand on.
    pub(super) fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// Whose copies are behind.
    pub(super) fn behind(&self) -> &Arc<Behind> {
        &self.behind
    }

    /// Restarts that are to be finished later.
    pub(super) fn unfinished(&self) -> &Unfinished {
        &self.unfinished
    }

    pub(super) fn insert(&self, handle: Arc<InstanceHandle>) {
        self.write().insert(handle.name().clone(), handle);
    }

    pub(super) fn remove(&self, name: &InstanceName) {
        self.write().remove(name);
    }

    /// Takes out the instance that an owner shows by `view`. Its name may be another's by now.
    pub(super) fn remove_shown(&self, name: &InstanceName, view: &watch::Sender<View>) {
        let mut all = self.write();
        if all.get(name).is_some_and(|handle| handle.is_shown_by(view)) {
            all.remove(name);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, All> {
        self.all.read().expect("no panic while the registry is locked")
    }

    fn write(&self) -> RwLockWriteGuard<'_, All> {
        self.all.write().expect("no panic while the registry is locked")
    }
}
