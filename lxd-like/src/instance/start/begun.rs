//! The run that a start begins with: all that will stand outside has a name and is written down.

use std::sync::Arc;

use sc_api::Timestamp;
use sc_profiles::Effective;
use sc_store::{Change, Draft, IntentId};
use sc_sys::cgroup::InstanceCgroup;

use super::make_cgroup;
use crate::context::Ctx;
use crate::error::{Error, Result, chain};
use crate::instance::stop;
use crate::model::{InstanceRecord, Intent, LinkPlan, RunPlan};

/// A run that is to be written down, or is: what will stand outside has a name and is not made.
#[derive(Debug)]
pub(in crate::instance) struct Begun {
    pub(super) plan: RunPlan,
    pub(super) intent: IntentId,
    effective: Effective,
    /// The record as it is written down with it.
    pub starting: InstanceRecord,
    /// Made ahead, where there was time.
    pub(super) cgroup: Option<Arc<InstanceCgroup>>,
}

impl Begun {
    /// Names everything that a run will put outside, and claims its id range. Returns what has to be
    /// committed beside the record before anything of it is made.
    pub fn new(
        ctx: &Ctx,
        record: &InstanceRecord,
        effective: &Effective,
    ) -> Result<(Self, Change)> {
        let plan = plan(ctx, record, effective)?;
        let last_used_at = Some(Timestamp::now());
        let starting = InstanceRecord { last_used_at, ..stop::with_power(record, "RUNNING") };
        match ctx.journal.begin_change(&Intent::Run(plan.clone())) {
            Ok((intent, change)) => {
                let effective = effective.clone();
                Ok((Self { plan, intent, effective, starting, cgroup: None }, change))
            }
            Err(error) => {
                release_ids(ctx, &plan);
                Err(error.into())
            }
        }
    }

    /// The same, written down: the run of an instance that is there already.
    #[tracing::instrument(level = "debug", name = "start: commit", skip_all)]
    pub(super) async fn written(
        ctx: &Ctx,
        record: &InstanceRecord,
        effective: &Effective,
    ) -> Result<Self> {
        let (begun, change) = Self::new(ctx, record, effective)?;
        let written = async {
            let mut draft = Draft::new();
            draft.change(change).put(&begun.starting)?;
            Ok::<_, Error>(ctx.journal.apply(draft).await?)
        };
        match written.await {
            Ok(_) => Ok(begun),
            Err(error) => {
                begun.forget(ctx);
                Err(error)
            }
        }
    }

    /// It could not be written down.
    pub fn forget(self, ctx: &Ctx) {
        release_ids(ctx, &self.plan);
    }

    /// It is written down and will not be; returns what could not be taken away.
    pub async fn take_back(self, ctx: &Ctx) -> Option<stop::Left> {
        stop::clear_up(ctx, self.plan, self.intent, None).await
    }

    /// Whether it was begun with this configuration.
    pub fn is_with(&self, effective: &Effective) -> bool {
        self.effective == *effective
    }

    /// Makes the cgroup.
    pub async fn make_cgroup(&mut self, ctx: &Ctx) -> Result<()> {
        self.cgroup = Some(make_cgroup(ctx, &self.plan).await?);
        Ok(())
    }
}

/// A start that is wanted, with what it is the end of.
#[derive(Debug, Default)]
pub(in crate::instance) struct Wanted {
    /// The journal's entry of the creation, where it ends a launch.
    pub creation: Option<IntentId>,
    /// The run, where it is written down already: with the instance that a launch has made.
    pub begun: Option<Begun>,
}

/// Names everything that the run will put outside, and claims its id range.
fn plan(ctx: &Ctx, record: &InstanceRecord, effective: &Effective) -> Result<RunPlan> {
    let links = effective.nics.iter().map(|nic| {
        Ok(LinkPlan {
            device: nic.device.clone(),
            network: nic.network.parse()?,
            host_name: sc_network::new_host_name(),
            guest_name: nic.name.clone(),
        })
    });
    let links = links.collect::<Result<_>>()?;
    let range = ctx.host.ids.claim(&ctx.host.id_owner(record.name.as_str()))?;
    Ok(RunPlan {
        instance: record.name.clone(),
        boot_id: ctx.paths.boot_id().to_owned(),
        run: ctx.host.next_run(),
        id_base: range.start(),
        links,
    })
}

fn release_ids(ctx: &Ctx, plan: &RunPlan) {
    if let Err(error) = ctx.host.ids.release(&ctx.host.id_owner(plan.instance.as_str())) {
        tracing::warn!(instance = %plan.instance, error = chain(&error), "give an id range back");
    }
}
