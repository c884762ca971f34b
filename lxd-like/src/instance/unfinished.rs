//! Restarts that are to be finished later: those that an earlier daemon had begun, until this one comes to them,
//! and those that this one leaves to the next. They are in the journal; here is which of them may still be done.
//!
//! They stay until the instance is started, by whomever, or cannot be, or somebody stops it and means it. One that
//! cannot be started now, as its pool or network is not there or the host goes down, is left to the next daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sc_api::{ErrorKind, InstanceName};
use sc_store::IntentId;

use super::handle::InstanceHandle;
use super::registry::Instances;
use crate::error::Result;
use crate::model::{InstanceRecord, PROJECT, RunPlan};

/// How long after a guest's end its owner may hear of it.
const HEARING: Duration = Duration::from_secs(5);

/// How often an instance is looked for that is not taken up yet.
const TAKING_UP_PAUSE: Duration = Duration::from_millis(200);

/// The restarts of one daemon that are to be finished, by their entries in the journal.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<BTreeMap<InstanceName, BTreeSet<IntentId>>>);

/// A restart that was not finished.
#[derive(Debug)]
pub struct Restart {
    instance: InstanceName,
    /// The run that came of it, if it came so far: where that goes on, the restart is done.
    became: Option<u64>,
}

impl Restart {
    /// Whose.
    pub fn instance(&self) -> &InstanceName {
        &self.instance
    }
}

impl Unfinished {
    /// Notes one of an instance, whose last `run` is known.
    pub fn note(
        &self,
        name: &InstanceName,
        restart: IntentId,
        run: Option<&(IntentId, RunPlan)>,
    ) -> Restart {
        self.leave(name, restart);
        let became = run.filter(|(begun, _)| *begun > restart).map(|(_, plan)| plan.run);
        Restart { instance: name.clone(), became }
    }

    /// Leaves one of an instance to the next daemon.
    pub fn leave(&self, name: &InstanceName, restart: IntentId) {
        self.lock().entry(name.clone()).or_default().insert(restart);
    }

    /// Takes all of an instance, which is not to be started again, or is.
    pub fn take(&self, name: &InstanceName) -> BTreeSet<IntentId> {
        self.lock().remove(name).unwrap_or_default()
    }

    /// Whether an instance has some.
    pub fn has(&self, name: &InstanceName) -> bool {
        self.lock().contains_key(name)
    }

    /// Those of an instance.
    fn of(&self, name: &InstanceName) -> BTreeSet<IntentId> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// Takes those of an instance that are finished; returns what nobody has taken before.
    fn finished(&self, name: &InstanceName, restarts: &BTreeSet<IntentId>) -> Vec<IntentId> {
        let mut all = self.lock();
        let Some(left) = all.get_mut(name) else { return Vec::new() };
        let taken = left.extract_if(.., |restart| restarts.contains(restart)).collect();
        if left.is_empty() {
            all.remove(name);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, BTreeSet<IntentId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instances {
    /// Finishes a restart, unless somebody starts or stops the instance before. Until then the journal has it,
    /// whatever becomes of this daemon.
    pub async fn finish_restart(&self, restart: Restart) {
        let name = &restart.instance;
        let begun = self.unfinished().of(name);
        if let Err(error) = self.restart_again(&restart).await {
            let (kind, error) = (error.kind(), error.chain());
            let stopped = self.get(name.as_str()).ok().filter(|i| !i.view().phase.has_guest());
            // A guest that is there may be going down: who asked the daemon before this one was told so.
            let waits = (stopped.is_some() || !self.has_what_it_stands_on(name))
                && self.unfinished().has(name);
            if waits && kind == ErrorKind::Unavailable {
                tracing::error!(instance = %name, error, "a restart is left to the next daemon");
                return;
            }
            tracing::error!(instance = %name, error, "finish a restart");
            if let Some(instance) = stopped.filter(|i| i.view().record.ephemeral) {
                // As after a restart of this daemon's.
                let _ = instance.delete().await;
            }
        }
        for intent in self.unfinished().finished(name, &begun) {
            self.ctx().done(intent).await;
        }
    }

    /// Whether an instance's pool and networks can be used.
    fn has_what_it_stands_on(&self, name: &InstanceName) -> bool {
        let Ok(instance) = self.get(name.as_str()) else { return true };
        let (ctx, record) = (self.ctx(), instance.view().record);
        let mut networks = record.nics.values().map(|nic| &nic.network);
        ctx.pools.get(record.pool.as_str()).is_ok()
            && networks.all(|network| ctx.networks.get(network.as_str()).is_ok())
    }

    async fn restart_again(&self, restart: &Restart) -> Result<()> {
        let name = &restart.instance;
        let Some(instance) = self.taken_up(name).await? else { return Ok(()) };
        self.ctx().pools.has_answered(instance.view().record.pool.as_str()).await;
        // What becomes of its run is not known before.
        while instance.view().phase.is_silent() {
            tokio::time::sleep(TAKING_UP_PAUSE).await;
        }
        let run = instance.view().phase.run().map(|run| run.plan.run);
        if run.is_some() && run == restart.became {
            return Ok(());
        }
        match instance.finish_restart().await {
            // Somebody was faster, or it stopped and could not be started again.
            Err(error) if !self.unfinished().has(name) => {
                tracing::warn!(instance = %name, error = %error.chain(), "finish a restart");
                Ok(())
            }
            // It may have ended of itself before it was asked to, of which its owner is about to hear.
            Err(_) if run.is_some() && instance.loses_guest_within(HEARING).await => {
                instance.finish_restart().await
            }
            other => other,
        }
    }

    /// An instance, once it is taken up; `None` of one that was deleted meanwhile.
    async fn taken_up(&self, name: &InstanceName) -> Result<Option<Arc<InstanceHandle>>> {
        loop {
            if let Ok(instance) = self.get(name.as_str()) {
                return Ok(Some(instance));
            }
            if self.ctx().store.get_doc::<InstanceRecord>(&[PROJECT, name.as_str()])?.is_none() {
                return Ok(None);
            }
            tokio::time::sleep(TAKING_UP_PAUSE).await;
        }
    }
}
