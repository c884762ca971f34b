//! The volume that a creation makes in a pool. A pool that does not answer holds it up for a while only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sc_api::ErrorKind;
use sc_storage::{Fingerprint, Source, VolumeName};
use sc_store::IntentId;
use tokio::task::JoinHandle;

use super::registry::Instances;
use crate::blocking::{blocking, ended};
use crate::context::Ctx;
use crate::error::{Error, Result, chain};
use crate::manager::{Claim, Pool};
use crate::model::{InstanceRecord, Intent};
use crate::operation::ProgressReporter;

/// Makes the volume of an instance whose record is there.
#[tracing::instrument(level = "debug", name = "create: volume", skip_all)]
pub(super) async fn make(
    instances: &Instances,
    record: &InstanceRecord,
    layer: Option<Fingerprint>,
    progress: &ProgressReporter,
) -> Result<()> {
    let ctx = instances.ctx();
    let steps = ctx.steps.operation("create");
    steps.reach("intent")?;
    let pool = ctx.pools.get(record.pool.as_str())?;
    let volume = VolumeName::new(record.name.as_str())?;
    let (driver, name, reporter) = (pool.clone(), volume.clone(), progress.clone());
    let (paths, placed) = (ctx.paths.clone(), Arc::new(AtomicBool::new(false)));
    let place = placed.clone();
    let mut making = tokio::spawn(blocking(move || {
        let source = layer.as_ref().map_or(Source::Empty, Source::Image);
        driver.create_volume(&name, source, &|at| reporter.copied(at))?;
        place.store(true, Ordering::Release);
        Ok(driver.settle(&paths.store())?)
    }));
    let made = pool.while_it_answers(ended(&mut making)).await;
    if made.is_err() && !making.is_finished() {
        let late = Late { making, placed, pool, volume, intent: None, claim: None };
        late.begin(instances, record).await;
    }
    made.map_err(|error| of_lost_image(ctx, record, error))?;
    steps.reach("volume")?;
    Ok(())
}

/// With an image goes its layer.
fn of_lost_image(ctx: &Ctx, record: &InstanceRecord, error: Error) -> Error {
    let is_lost = |image: &String| {
        ctx.images.get(image).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    match &record.image {
        Some(image) if is_lost(image) => {
            error.within(format!("image {image} was deleted meanwhile"))
        }
        _ => error,
    }
}

/// A volume that is made when nobody waits for it any more: the creation was taken back, or is going to be.
struct Late {
    making: JoinHandle<Result<()>>,
    /// Whether it is there; what fails after that has not taken it away.
    placed: Arc<AtomicBool>,
    pool: Pool,
    volume: VolumeName,
    intent: Option<IntentId>,
    /// Nobody may have the name before it is known what has become of the volume.
    claim: Option<Claim>,
}

impl Late {
    /// Removes it in the background. A daemon that comes before that finds it in the journal, where it could
    /// be written there.
    async fn begin(mut self, instances: &Instances, record: &InstanceRecord) {
        let (instance, pool) = (record.name.clone(), record.pool.clone());
        self.claim = instances.ctx().pools.claim_volume(instance.as_str()).ok();
        let ctx = instances.ctx().clone();
        match ctx.journal.begin(&Intent::DropVolume { instance, pool }).await {
            Ok(intent) => self.intent = Some(intent),
            Err(error) => {
                tracing::error!(volume = %self.volume, error = chain(&error), "note a volume that comes late");
            }
        }
        tokio::spawn(self.remove(ctx));
    }

    async fn remove(self, ctx: Ctx) {
        let Self { making, placed, pool, volume, intent, claim } = self;
        let _made = ended(making).await;
        if placed.load(Ordering::Acquire)
            && let Err(error) = ctx.pools.remove_if_there(pool, volume.clone()).await
        {
            // The entry stays, for the next daemon.
            tracing::error!(%volume, error = %error.chain(), "remove a volume that was made too late");
            return;
        }
        if let Some(intent) = intent {
            ctx.done(intent).await;
        }
        drop(claim);
    }
}
