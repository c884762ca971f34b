//! What a new daemon does about pools that the one before it was making or deleting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sc_api::PoolName;
use sc_store::IntentId;
use tokio::time::timeout;

use super::{Pools, pool};
use crate::error::Result;
use crate::model::{Intent, PoolRecord};

impl Pools {
    /// Takes back creations that were not finished and finishes deletions. Returns the pools that are still
    /// being taken away, as they do not answer.
    pub(super) async fn recover(&self) -> Result<BTreeSet<PoolName>> {
        let mut going = BTreeSet::new();
        for (id, intent) in self.journal.pending()? {
            let (Intent::CreatePool { pool, path } | Intent::DeletePool { pool, path }) = &intent
            else {
                continue;
            };
            if let Some(why) = self.stays(pool, path, &intent)? {
                tracing::error!(%pool, "a pool that is to be taken away stays: {why}");
                self.journal.clear(id).await?;
                continue;
            }
            tracing::info!(%pool, "taking a pool away that was half made or half deleted");
            let is_that = self.record(pool.as_str()).is_ok_and(|record| record.path == *path);
            if is_that {
                self.roster.going(pool.as_str());
            }
            let taking = tokio::spawn(self.clone().take(id, pool.clone(), path.clone()));
            if timeout(pool::PATIENCE, taking).await.is_err() {
                tracing::error!(%pool, "a pool is taken away as soon as it answers");
                going.extend(is_that.then(|| pool.clone()));
            }
        }
        Ok(going)
    }

    async fn take(self, id: IntentId, name: PoolName, path: PathBuf) {
        let taken = async {
            let _ours = self.roster.claim(name.as_str())?;
            // Another creation may have made it elsewhere.
            if self.record(name.as_str()).is_ok_and(|pool| pool.path != path) {
                return self.take_back(id, path).await;
            }
            self.finish_deletion(id, &name, path).await
        };
        if let Err(error) = taken.await {
            // The entry stays, for the next start.
            tracing::error!(pool = %name, error = %error.chain(), "take a pool away");
        }
    }

    /// Why a pool stays, whatever became of the creation or deletion that has left its entry.
    fn stays(&self, name: &PoolName, path: &Path, intent: &Intent) -> Result<Option<&'static str>> {
        let all = self.store.list_docs::<PoolRecord>(&[])?;
        if all.iter().any(|pool| pool.value.name != *name && pool.value.path == path) {
            return Ok(Some("another pool is in its folder"));
        }
        if !all.iter().any(|pool| pool.value.name == *name && pool.value.path == path) {
            return Ok(None);
        }
        // With the record of what a creation has made its entry goes: this one has made nothing.
        if matches!(intent, Intent::CreatePool { .. }) {
            return Ok(Some("another creation has made it"));
        }
        let used = !self.used_by(name.as_str())?.is_empty();
        Ok(used.then_some("it is in use"))
    }
}
