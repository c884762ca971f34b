//! The copy of an instance's configuration that lies beside its volume.
//!
//! From it a lost database can be rebuilt: it holds everything that the instance is, what its
//! profiles give included. It is written behind the requests that changed it, a moment later and by
//! one task for each pool: a launch, which changes a record several times, neither waits for the disk
//! nor has others wait for it, and an older state does not come last. (On a pool that has not answered
//! for long it may.) What is behind when a daemon starts, as after a crash, it writes. One that cannot be
//! written is tried again, after a pause that grows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sc_api::{InstanceName, PoolName};
use sc_profiles::Settings;
use sc_storage::VolumeName;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::handle::InstanceHandle;
use super::registry::Instances;
use super::view::View;
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::{InstanceRecord, NetworkRecord, ProfileRecord};

/// How long a change waits for the ones that follow it.
const REST: Duration = Duration::from_millis(500);

/// How long copies that are being written are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause after a failure, and the longest, after many.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The instances whose copy is behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    names: Mutex<BTreeSet<InstanceName>>,
    failed: Mutex<Failed>,
    /// Pools that a writer is at, perhaps for long.
    busy: Mutex<BTreeSet<PoolName>>,
    news: Notify,
}

impl Behind {
    /// Has the copy of an instance written soon.
    pub fn note(&self, name: InstanceName) {
        self.lock().insert(name);
        self.news.notify_one();
    }

    /// Has the copy of an instance written again, after a pause.
    fn note_failed(&self, name: InstanceName) {
        self.failed().note(name, Instant::now());
        // Whoever waits for news does so from now on for the end of the pause as well.
        self.news.notify_one();
    }

    /// Returns when there is something to write.
    async fn wait(&self) {
        let due = self.failed().due;
        let again = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.news.notified() => sleep(REST).await,
            () = again => {
                let failed = self.failed().take();
                self.lock().extend(failed);
            }
        }
    }

    /// Lets one writer at a time be at a pool.
    fn claim(self: &Arc<Self>, pool: &PoolName) -> Option<Writing> {
        let free = self.busy().insert(pool.clone());
        free.then(|| Writing { behind: self.clone(), pool: pool.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<InstanceName>> {
        self.names.lock().expect("no panic while the names are locked")
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<PoolName>> {
        self.busy.lock().expect("no panic while the pools are locked")
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().expect("no panic while the failures are locked")
    }
}

/// The instances whose copy could not be written, and when all of them are tried again.
#[derive(Debug, Default)]
struct Failed {
    names: BTreeSet<InstanceName>,
    due: Option<Instant>,
    /// The last pause, until a try at the end of one has failed nowhere.
    pause: Option<Duration>,
}

impl Failed {
    fn note(&mut self, name: InstanceName, now: Instant) {
        self.names.insert(name);
        if self.due.is_none() {
            let pause = self.pause.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
            self.due = Some(now + *self.pause.insert(pause));
        }
    }

    fn take(&mut self) -> BTreeSet<InstanceName> {
        self.due = None;
        std::mem::take(&mut self.names)
    }

    /// Forgets the pauses if nothing waits for the end of one.
    fn settle(&mut self) {
        if self.due.is_none() {
            self.pause = None;
        }
    }
}

impl Instances {
    /// Keeps the copies for as long as the daemon lives.
    pub async fn keep_copies(self) {
        loop {
            self.behind().wait().await;
            self.write_copies().await;
            self.behind().failed().settle();
        }
    }

    /// Writes the copies that are behind, those of each pool by themselves: one that does not answer
    /// holds up no other. A failure is logged and noted: the store has what counts.
    pub async fn write_copies(&self) {
        let names = std::mem::take(&mut *self.behind().lock());
        let mut pools: BTreeMap<_, Vec<_>> = BTreeMap::new();
        // One that is no more has no copy either.
        for handle in names.iter().filter_map(|name| self.get(name.as_str()).ok()) {
            pools.entry(handle.view().record.pool.clone()).or_default().push(handle);
        }
        let mut writers = JoinSet::new();
        for (pool, handles) in pools {
            let names = handles.iter().map(|handle| handle.name().clone());
            if self.ctx().pools.get(pool.as_str()).is_err() {
                names.for_each(|name| self.behind().note_failed(name));
                continue;
            }
            match self.behind().claim(&pool) {
                Some(turn) => drop(writers.spawn(write_all(self.clone(), handles, turn))),
                // Where one waits for the pool another would only wait beside it.
                None => {
                    self.behind().lock().extend(names);
                    // It may have ended before they were in the list.
                    if !self.behind().busy().contains(&pool) {
                        self.behind().news.notify_one();
                    }
                }
            }
        }
        if timeout(PATIENCE, async { while writers.join_next().await.is_some() {} }).await.is_err()
        {
            tracing::warn!("some copies of configurations are written when their pool answers");
        }
        writers.detach_all();
    }
}

/// What the copy holds. It is JSON, which YAML readers read as well.
#[derive(Debug, Serialize)]
struct Copy<'a> {
    instance: &'a InstanceRecord,
    expanded_config: &'a sc_api::ConfigMap,
    expanded_devices: &'a sc_api::DeviceMap,
    profiles: Vec<ProfileRecord>,
    networks: Vec<NetworkRecord>,
}

async fn write_all(instances: Instances, handles: Vec<Arc<InstanceHandle>>, _turn: Writing) {
    for handle in handles {
        let ctx = instances.ctx().clone();
        let (name, view) = (handle.name().clone(), handle.view());
        if let Err(error) = blocking(move || write(&ctx, &view)).await {
            tracing::warn!(instance = %name, error = %error.chain(),
                "write the copy of an instance's configuration");
            instances.behind().note_failed(name);
        }
    }
}

/// The one writer at a pool. What came meanwhile is written when it has ended.
struct Writing {
    behind: Arc<Behind>,
    pool: PoolName,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.behind.busy().remove(&self.pool);
        if !self.behind.lock().is_empty() {
            self.behind.news.notify_one();
        }
    }
}

fn write(ctx: &Ctx, view: &View) -> Result<()> {
    let pool = ctx.pools.get(view.record.pool.as_str())?;
    let volume = VolumeName::new(view.record.name.as_str())?;
    let replaced = |text: Vec<u8>| match pool.read_backup(&volume)? {
        Some(before) if before == text => Ok(()),
        _ => Ok(pool.write_backup(&volume, &text)?),
    };
    let written = content(ctx, &view.record, &view.expanded).and_then(replaced);
    // It may be deleted, or be made, just now.
    if written.is_err() && !pool.has_volume(&volume)? {
        return Ok(());
    }
    written
}

fn content(ctx: &Ctx, record: &InstanceRecord, expanded: &Settings) -> Result<Vec<u8>> {
    let networks = record.nics.values().map(|nic| ctx.networks.record(nic.network.as_str()));
    let copy = Copy {
        instance: record,
        expanded_config: &expanded.config,
        expanded_devices: &expanded.devices,
        profiles: ctx.profiles.get_all(&record.profiles)?,
        networks: networks.collect::<Result<_>>()?,
    };
    serde_json::to_vec_pretty(&copy)
        .map_err(|error| Error::internal(format!("serialise the copy: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_copies_cannot_be_written_and_are_forgotten_afterwards() {
        let name: InstanceName = "c1".parse().unwrap();
        let (mut failed, now) = (Failed::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            failed.note(name.clone(), now);
            // Another one, or the same by a change, waits for the end of the same pause.
            failed.note("c2".parse().unwrap(), now + FIRST_PAUSE);
            pauses.push((failed.due.unwrap() - now).as_secs());
            failed.settle();
            assert_eq!(failed.take().len(), 2);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        failed.settle();
        failed.note(name, now);
        assert_eq!(failed.due, Some(now + FIRST_PAUSE));
    }
}
