//! Deleting an instance that does not run.

use sc_storage::VolumeName;
use sc_store::{Draft, delete_doc};

use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::Result;
use crate::model::{InstanceRecord, Intent, PROJECT};

/// Deletes an instance: its volume goes to the pool's trash at once, which is emptied behind.
#[tracing::instrument(level = "debug", name = "delete", skip_all)]
pub(super) async fn delete(ctx: &Ctx, record: &InstanceRecord) -> Result<()> {
    let (instance, pool) = (record.name.clone(), record.pool.clone());
    let intent = ctx.journal.begin(&Intent::Delete { instance, pool }).await?;
    let steps = ctx.steps.operation("delete");
    let outcome = async {
        steps.reach("intent")?;
        remove(ctx, record).await?;
        steps.reach("removed")?;
        Ok(())
    };
    if let Err(error) = outcome.await {
        // Nothing is gone for good before the record is: the instance stays.
        ctx.journal.clear(intent).await?;
        return Err(crate::error::Error::within(error, format!("delete instance {}", record.name)));
    }
    let mut draft = Draft::new();
    draft.change(delete_doc::<InstanceRecord>(&[PROJECT, record.name.as_str()])?);
    draft.change(ctx.journal.clear_change(intent));
    ctx.store.apply(draft).await?;
    ctx.pools.empty_trash_behind(record.pool.as_str());
    Ok(())
}

/// Removes what an instance has outside the store.
pub(super) async fn remove(ctx: &Ctx, record: &InstanceRecord) -> Result<()> {
    let pool = ctx.pools.get(record.pool.as_str())?;
    let volume = VolumeName::new(record.name.as_str())?;
    blocking(move || match pool.has_volume(&volume)? {
        true => Ok(pool.delete_volume(&volume)?),
        false => Ok(()),
    })
    .await?;
    for (device, nic) in &record.nics {
        if let Ok(network) = ctx.networks.get(nic.network.as_str()) {
            network.release(record.name.as_str(), device).await?;
        }
    }
    let logs = ctx.paths.logs(record.name.as_str());
    match std::fs::remove_dir_all(&logs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %logs.display(), %error, "remove an instance's logs");
        }
        _ => {}
    }
    Ok(())
}
