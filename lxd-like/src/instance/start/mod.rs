//! Starting an instance.
//!
//! Everything that will stand outside is named first and written to the journal in one commit, a
//! launch's together with the new instance; then it is made, what can be at once. When a step fails,
//! what was made is taken away by the same plan that a new daemon would use after a crash.

mod begun;
mod settle;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sc_agent_protocol::{Event, InitKind, Phase as AgentPhase};
use sc_network::NicRequest;
use sc_profiles::Effective;
use sc_store::{Draft, IntentId};
use sc_sys::cgroup::InstanceCgroup;
use tokio::sync::mpsc;

use super::agent::{AgentEvent, AgentLink, boot_failure};
use super::config::Checked;
use super::run::{Active, Observed, Run};
use super::{fit, spec, stop, update};
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::{InstanceRecord, RunPlan};
pub(super) use begun::{Begun, Wanted};

/// How long an agent may take to make its namespaces.
const NAMESPACES_PATIENCE: Duration = Duration::from_secs(30);

/// How long the agent's word on a failure is waited for.
const LAST_WORD_PATIENCE: Duration = Duration::from_millis(200);

/// Starts an instance; returns it running, and its record as it is kept from now on. With the first
/// success the creation that the start belongs to is done.
#[tracing::instrument(level = "debug", name = "start", skip_all)]
pub(super) async fn start(
    ctx: &Ctx,
    record: &InstanceRecord,
    checked: &Checked,
    wanted: Wanted,
) -> Result<(Active, InstanceRecord), Failed> {
    let named = |error: Error| error.within(format!("start instance {}", record.name));
    let Wanted { mut creation, begun } = wanted;
    let begun = match begun {
        Some(begun) => Ok(begun),
        None => Begun::written(ctx, record, &checked.effective).await,
    };
    let begun = begun.map_err(|error| Failed { error: named(error), left: None, creation })?;
    let Begun { plan, intent, starting, cgroup, .. } = begun;
    let started = async {
        let (run, mut events) = boot(ctx, record, checked, &plan, cgroup).await?;
        // Written while init is watched: should it not come up after all, that is a deletion of its own.
        let watched = settle::watch(ctx, record, checked, &run, &mut events);
        let (watched, confirmed) = tokio::join!(watched, confirm(ctx, starting, creation));
        let started = confirmed?;
        creation = None;
        let told = watched?;
        Ok((Active::new(Arc::new(run), intent, events).after(told), started))
    };
    match started.await {
        Ok(started) => Ok(started),
        Err(error) => {
            // It was not running and is not: nothing that a new daemon would start by itself.
            let (left, _noted) = stop::finish(ctx, plan, intent, record).await;
            Err(Failed { error: named(error), left, creation })
        }
    }
}

/// A start that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: Error,
    /// What is left of it.
    pub left: Option<stop::Left>,
    /// The creation that it belongs to, where that is not done.
    pub creation: Option<IntentId>,
}

/// The guest has come to boot: what was due before its first boot is not due again.
async fn confirm(
    ctx: &Ctx,
    record: InstanceRecord,
    creation: Option<IntentId>,
) -> Result<InstanceRecord> {
    if record.started_before && creation.is_none() {
        return Ok(record);
    }
    let record = InstanceRecord { started_before: true, ..record };
    let mut draft = Draft::new();
    draft.put(&record)?;
    if let Some(creation) = creation {
        draft.change(ctx.journal.clear_change(creation));
    }
    ctx.journal.apply(draft).await?;
    Ok(record)
}

type Events = mpsc::UnboundedReceiver<AgentEvent>;

#[tracing::instrument(level = "debug", name = "start: boot", skip_all)]
async fn boot(
    ctx: &Ctx,
    record: &InstanceRecord,
    checked: &Checked,
    plan: &RunPlan,
    cgroup: Option<Arc<InstanceCgroup>>,
) -> Result<(Run, Events)> {
    let steps = ctx.steps.operation("start");
    steps.reach("intent")?;
    let pool = ctx.pools.get(record.pool.as_str())?;
    let volume = sc_storage::VolumeName::new(record.name.as_str())?;
    // What comes late gives its lease back at once.
    let rooting = pool.work(move |pool| pool.plan(&volume));
    let grouping = async {
        match cgroup {
            Some(cgroup) => Ok(cgroup),
            None => make_cgroup(ctx, plan).await,
        }
    };
    // Both to their end: what one of them makes after the other has failed would stay.
    let (root, cgroup) = tokio::join!(rooting, grouping);
    let (root, cgroup) = (root?, cgroup?);
    steps.reach("volume and cgroup")?;
    update::apply_first_limits(ctx, &cgroup, &checked.effective.limits).await?;
    steps.reach("limits")?;

    let disks = fit::there(&checked.effective.disks).await?;
    let launch = spec::build(ctx, record, checked, plan, root, &disks, &cgroup)?;
    // A few hundred microseconds, in which the agent is executed: not worth another thread.
    ctx.host.spawn_agent(&ctx.paths.agent_socket(plan.run), launch)?;
    steps.reach("agent")?;
    // Whatever its phase: an agent that has failed already tells so to whoever greets it.
    let (link, _, mut events) = AgentLink::connect(&ctx.paths.agent_socket(plan.run)).await?;
    let netns = namespaces(&mut events).await?;
    steps.reach("namespaces")?;
    let booted = async {
        plug(ctx, record, &checked.effective, plan, &netns).await?;
        steps.reach("network")?;
        link.boot().await?;
        steps.reach("boot")?;
        Ok(())
    };
    if let Err(error) = booted.await {
        return Err(the_agents_word(&mut events).await.unwrap_or(error));
    }
    let observed = started(&mut events).await?;
    let run =
        Run { plan: plan.clone(), link: Arc::new(link), cgroup, observed: RwLock::new(observed) };
    Ok((run, events))
}

#[tracing::instrument(level = "debug", name = "start: cgroup", skip_all)]
async fn make_cgroup(ctx: &Ctx, plan: &RunPlan) -> Result<Arc<InstanceCgroup>> {
    let (ctx, id, base) = (ctx.clone(), plan.cgroup(), plan.id_base);
    blocking(move || Ok(Arc::new(ctx.host.cgroups.create_instance(&id, (base, base))?))).await
}

/// Waits for the agent's namespaces.
#[tracing::instrument(level = "debug", name = "start: namespaces", skip_all)]
async fn namespaces(events: &mut Events) -> Result<OwnedFd> {
    let wait = async {
        loop {
            match events.recv().await {
                Some(AgentEvent::NamespacesReady(netns)) => return Ok(netns),
                Some(AgentEvent::Event(Event::Failed(failure))) => {
                    return Err(boot_failure(&failure));
                }
                Some(AgentEvent::Event(_)) => {}
                Some(AgentEvent::Gone) | None => {
                    return Err(Error::internal("the agent ended before it made the namespaces"));
                }
            }
        }
    };
    tokio::time::timeout(NAMESPACES_PATIENCE, wait).await.unwrap_or_else(|_| {
        Err(Error::internal(format!("no namespaces within {} s", NAMESPACES_PATIENCE.as_secs())))
    })
}

/// What the agent has said of a failure. It knows the cause; that a namespace or the agent itself is
/// gone is what follows from it, and may be seen first.
async fn the_agents_word(events: &mut Events) -> Option<Error> {
    let said = async {
        loop {
            match events.recv().await {
                Some(AgentEvent::Event(Event::Failed(failure))) => {
                    return Some(boot_failure(&failure));
                }
                Some(AgentEvent::Gone) | None => return None,
                Some(_) => {}
            }
        }
    };
    tokio::time::timeout(LAST_WORD_PATIENCE, said).await.ok().flatten()
}

/// Plugs the NICs into the guest's network namespace.
#[tracing::instrument(level = "debug", name = "start: network", skip_all)]
async fn plug(
    ctx: &Ctx,
    record: &InstanceRecord,
    effective: &Effective,
    plan: &RunPlan,
    netns: &OwnedFd,
) -> Result<()> {
    for (link, nic) in plan.links.iter().zip(&effective.nics) {
        let held = record.nics.get(&link.device).ok_or_else(|| {
            Error::internal(format!("NIC {:?} was never given an address", link.device))
        })?;
        let request = NicRequest {
            reservation: held.reservation.clone(),
            host_name: link.host_name.clone(),
            guest_name: link.guest_name.clone(),
            mtu: nic.mtu,
        };
        ctx.networks.get(link.network.as_str())?.attach(&request, netns.as_fd()).await?;
    }
    Ok(())
}

/// What the agent tells of the started guest. It comes with the answer to the boot, so there is
/// nothing to wait for.
async fn started(events: &mut Events) -> Result<Observed> {
    loop {
        match events.recv().await {
            Some(AgentEvent::Event(Event::Started { pid, init, reboots })) => {
                return Ok(Observed { pid, init, reboots, interfaces: Vec::new() });
            }
            Some(AgentEvent::Event(Event::Failed(failure))) => return Err(boot_failure(&failure)),
            Some(AgentEvent::Gone) | None => {
                return Err(Error::internal("the agent ended while the guest was booting"));
            }
            Some(_) => {}
        }
    }
}

/// What an agent that is found again tells of its guest.
pub(super) fn observed(phase: &AgentPhase) -> Option<Observed> {
    match phase {
        AgentPhase::Running { pid, init, reboots, .. } => {
            Some(Observed { pid: *pid, init: *init, reboots: *reboots, interfaces: Vec::new() })
        }
        AgentPhase::Booting => {
            Some(Observed { pid: 0, init: InitKind::Other, reboots: 0, interfaces: Vec::new() })
        }
        AgentPhase::Waiting | AgentPhase::Ended(_) => None,
    }
}
