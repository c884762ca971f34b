//! Opening the pools when the daemon starts. One that does not answer keeps nobody waiting for long, and is used
//! as soon as it does.

use std::iter::repeat;
use std::time::Duration;

use sc_api::PoolName;
use sc_storage::VolumeName;
use sc_store::IntentId;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{PAUSES, Pool, Pools};
use crate::blocking::blocking;
use crate::error::Result;
use crate::model::{ImageRecord, InstanceRecord, Intent, PROJECT, PoolRecord};

/// How long the start of the daemon waits for a pool. An opening reads a little of each volume.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a pool is looked for that has not answered.
const PAUSE: Duration = Duration::from_millis(500);

/// What has become of the volumes that were to go.
struct Dropped {
    /// The first failure.
    outcome: Result<()>,
    /// Whether some are to wait, as an instance that waits for its image has their name.
    waits: bool,
}

impl Pools {
    /// Opens all pools of the store and clears up what was under way in them. One that fails is
    /// logged; its instances cannot start until it is mended.
    pub async fn open_all(&self) -> Result<()> {
        let going = self.recover().await?;
        let mut opening = JoinSet::new();
        let all = self.store.list_docs::<PoolRecord>(&[])?.into_iter();
        for record in all.filter(|pool| !going.contains(&pool.value.name)) {
            opening.spawn(self.clone().open_in_time(record.value));
        }
        opening.join_all().await;
        Ok(())
    }

    /// Whether a pool has not answered since the daemon started.
    pub fn is_opening(&self, name: &str) -> bool {
        self.roster.is_opening(name)
    }

    /// Returns when a pool has answered, for better or worse.
    pub async fn has_answered(&self, name: &str) {
        while self.is_opening(name) {
            sleep(PAUSE).await;
        }
    }

    async fn open_in_time(self, record: PoolRecord) {
        let (pools, name) = (self, record.name.clone());
        let turn = pools.roster.opening(name.as_str());
        let mut opening = tokio::spawn(async move {
            let name = record.name.clone();
            let opened = pools.open(record).await;
            // Else it was deleted before it answered.
            if pools.roster.opened(name.as_str(), turn, opened) {
                pools.drop_behind(name.clone());
                pools.empty_trash_behind(name.as_str());
            }
        });
        if timeout(PATIENCE, &mut opening).await.is_err() {
            tracing::error!(pool = %name, "a pool does not answer; it is used as soon as it does");
        }
    }

    async fn open(&self, record: PoolRecord) -> Result<Pool> {
        let PoolRecord { name, path, .. } = record;
        let driver = blocking(move || {
            let driver = sc_storage::open(&path)?;
            driver.sweep()?;
            Ok(driver)
        });
        let pool = Pool::new(name.clone(), driver.await?);
        if let Err(error) = self.catch_up(&pool).await {
            // Volumes are tried again behind, layers by the next start; the pool is of use all the same.
            tracing::error!(pool = %name, error = %error.chain(), "remove what is to go from a pool");
        }
        Ok(pool)
    }

    /// Removes what was deleted while the pool could not be used: volumes by the journal, layers by
    /// the images that there are.
    async fn catch_up(&self, pool: &Pool) -> Result<()> {
        let dropped = self.drop_volumes(pool).await.outcome;
        let (store, pool) = (self.store.clone(), pool.clone());
        let removed = blocking(move || {
            for image in pool.images()? {
                if store.get_doc::<ImageRecord>(&[image.as_str()])?.is_none() {
                    pool.delete_image(&image)?;
                }
            }
            Ok(())
        });
        dropped.and(removed.await)
    }

    /// Goes on after an error.
    async fn drop_volumes(&self, pool: &Pool) -> Dropped {
        let _one = pool.dropping().await;
        let volumes = match self.dropped_volumes(pool.name()) {
            Ok(volumes) => volumes,
            Err(error) => return Dropped { outcome: Err(error), waits: false },
        };
        let mut dropped = Dropped { outcome: Ok(()), waits: false };
        for (id, volume) in volumes {
            // Else an instance could be given the name, and a volume, after the look.
            let Ok(_ours) = self.claim_volume(&volume) else {
                dropped.waits = true;
                continue;
            };
            dropped.outcome = dropped.outcome.and(self.drop_volume(pool, id, &volume).await);
        }
        dropped
    }

    async fn drop_volume(&self, pool: &Pool, id: IntentId, volume: &str) -> Result<()> {
        if !self.journal.pending()?.iter().any(|(pending, _)| *pending == id) {
            return Ok(());
        }
        let found = self.store.get_doc::<InstanceRecord>(&[PROJECT, volume])?;
        // An instance of that name is made only where there is no such volume: then it had gone.
        if found.is_none_or(|instance| instance.value.pool != *pool.name()) {
            let removing = self.remove_if_there(pool.clone(), VolumeName::new(volume)?);
            pool.while_it_answers(removing).await?;
        }
        Ok(self.journal.clear(id).await?)
    }

    /// Removes, if the pool can be used by now, what was deleted while it could not be. What fails for long is
    /// done by the next daemon.
    pub fn drop_behind(&self, name: PoolName) {
        let pools = self.clone();
        tokio::spawn(async move {
            let longest = PAUSES[PAUSES.len() - 1];
            for (tried, pause) in PAUSES.into_iter().chain(repeat(longest)).enumerate() {
                sleep(pause).await;
                let Ok(pool) = pools.get(name.as_str()) else { return };
                let Dropped { outcome, waits } = pools.drop_volumes(&pool).await;
                if let Err(error) = &outcome {
                    tracing::warn!(pool = %name, error = %error.chain(), "remove deleted volumes");
                }
                if !waits && (outcome.is_ok() || tried + 1 >= PAUSES.len()) {
                    return;
                }
            }
        });
    }

    /// Volumes of a pool whose instances were deleted while it could not be used.
    pub(super) fn dropped_volumes(&self, name: &PoolName) -> Result<Vec<(IntentId, String)>> {
        let dropped = |(id, intent)| match intent {
            Intent::DropVolume { instance, pool } if pool == *name => {
                Some((id, instance.to_string()))
            }
            _ => None,
        };
        Ok(self.journal.pending()?.into_iter().filter_map(dropped).collect())
    }
}
