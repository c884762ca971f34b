//! What a new daemon does about pools that the one before it was making or deleting.

use std::path::Path;

use sc_api::PoolName;

use super::{Pools, silence};
use crate::error::Result;
use crate::model::{Intent, PoolRecord};

impl Pools {
    /// Takes back creations that were not finished and finishes deletions.
    pub(super) async fn recover(&self) -> Result<()> {
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
            // Another creation may have made it elsewhere.
            let taken = async {
                match self.record(pool.as_str()).is_ok_and(|pool| pool.path != *path) {
                    true => self.take_back(id, path.clone()).await,
                    false => self.finish_deletion(id, pool, path.clone()).await,
                }
            };
            if let Err(error) = silence::look(pool, taken).await {
                // The entry stays, for the next start.
                tracing::error!(%pool, error = %error.chain(), "take a pool away");
            }
        }
        Ok(())
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
