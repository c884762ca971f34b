//! Deleting an instance that does not run.

use sc_api::ErrorKind;
use sc_storage::VolumeName;
use sc_store::{Draft, IntentId, delete_doc};

use super::nics;
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Context, Error, Result};
use crate::model::{InstanceRecord, Intent, PROJECT};

/// A deletion that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: Error,
    /// The journal's entry, where there is no way back: the next deletion, or daemon, finishes it.
    pub begun: Option<IntentId>,
}

// Of a failure before there is an entry, or after there is none any more.
impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, begun: None }
    }
}

/// Deletes an instance: its volume goes to the pool's trash at once, which is emptied behind. `begun`
/// is the journal's entry of a deletion that failed before.
#[tracing::instrument(level = "debug", name = "delete", skip_all)]
pub(super) async fn delete(
    ctx: &Ctx,
    record: &InstanceRecord,
    begun: Option<IntentId>,
) -> Result<(), Failed> {
    let named = |error: Error| error.within(format!("delete instance {}", record.name));
    let intent = match begun {
        Some(intent) => intent,
        None => {
            let (instance, pool) = (record.name.clone(), record.pool.clone());
            let intent = Intent::Delete { instance, pool };
            ctx.journal.begin(&intent).await.map_err(|error| named(error.into()))?
        }
    };
    if let Err(error) = erase(ctx, record, intent).await {
        let error = named(error);
        // Without its root it is an instance no more; and what a pool does not answer, it may still do, also
        // what an earlier try has asked of it.
        let asked = begun.is_some() || error.kind() == ErrorKind::Unavailable;
        if !asked && is_whole(ctx, record).await {
            return match ctx.journal.clear(intent).await {
                Ok(()) => Err(error.into()),
                // The next daemon would delete it, whatever had been done with it until then.
                Err(also) => {
                    let text = format!("{}; and it is to go all the same: {also}", error.chain());
                    Err(Failed { error: Error::new(error.kind(), text), begun: Some(intent) })
                }
            };
        }
        return Err(Failed { error, begun: Some(intent) });
    }
    Ok(())
}

/// Deletes it, and with it the journal's entry that says it is to go. Where its pool cannot be used,
/// its volume goes when the pool can be: nobody is kept from deleting what a lost disk has held.
pub(super) async fn erase(ctx: &Ctx, record: &InstanceRecord, intent: IntentId) -> Result<()> {
    let steps = ctx.steps.operation("delete");
    steps.reach("intent")?;
    let removed = remove_volume(ctx, record).await?;
    remove_rest(ctx, record).await?;
    steps.reach("removed")?;
    let mut draft = Draft::new();
    if removed == Removed::Later {
        let (instance, pool) = (record.name.clone(), record.pool.clone());
        let (_, change) = ctx.journal.begin_change(&Intent::DropVolume { instance, pool })?;
        draft.change(change);
    }
    draft.change(delete_doc::<InstanceRecord>(&[PROJECT, record.name.as_str()])?);
    draft.change(ctx.journal.clear_change(intent));
    ctx.journal.apply(draft).await?;
    // Only now: a deletion that fails may be taken back, and the instance keeps what it has held.
    nics::free(ctx, record);
    match removed {
        Removed::Now => ctx.pools.empty_trash_behind(record.pool.as_str()),
        // It may have come to be used since.
        Removed::Later => ctx.pools.drop_behind(record.pool.clone()),
    }
    Ok(())
}

/// Whether the instance still has its root. A pool that does not answer has not lost it.
async fn is_whole(ctx: &Ctx, record: &InstanceRecord) -> bool {
    let looked = async {
        let pool = ctx.pools.get(record.pool.as_str())?;
        let volume = VolumeName::new(record.name.as_str())?;
        pool.work(move |pool| pool.has_volume(&volume)).await
    };
    looked.await.unwrap_or(true)
}

/// What has become of a volume that is to go.
#[derive(Debug, PartialEq, Eq)]
enum Removed {
    Now,
    /// Its pool cannot be used.
    Later,
}

async fn remove_volume(ctx: &Ctx, record: &InstanceRecord) -> Result<Removed> {
    let volume = VolumeName::new(record.name.as_str())?;
    let pool = match ctx.pools.get(record.pool.as_str()) {
        Ok(pool) => pool,
        // Without its pool it has no volume either.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Removed::Now),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            tracing::warn!(instance = %record.name, error = %error.chain(),
                "an instance's volume goes when its pool can be used");
            return Ok(Removed::Later);
        }
        Err(error) => return Err(error),
    };
    pool.while_it_answers(ctx.pools.remove_if_there(pool.clone(), volume)).await?;
    Ok(Removed::Now)
}

/// Removes what else an instance has outside the store.
async fn remove_rest(ctx: &Ctx, record: &InstanceRecord) -> Result<()> {
    nics::withdraw(ctx, record).await?;
    let logs = ctx.paths.logs(record.name.as_str());
    blocking(move || match std::fs::remove_dir_all(&logs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(format!("remove the logs {}", logs.display()))
        }
        _ => Ok(()),
    })
    .await
}
