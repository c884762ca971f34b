//! Stopping an instance, and clearing up what a run has left outside.
//!
//! [`clear_up`] works from the plan alone: it is the end of every run, the undo of a start that
//! failed, and what a new daemon does about a run whose agent is gone. It goes on after a failure,
//! and only when all is away is the journal's entry cleared; else the next start of the daemon
//! tries again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use sc_agent_protocol::{Interface, Scope};
use sc_store::{Draft, IntentId};
use sc_sys::cgroup::InstanceCgroup;
use sc_sys::idmap::{IdRange, RANGE_SIZE};

use super::agent::{self, AgentEvent, AgentLink, GREETING_PAUSE};
use super::run::Run;
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result, chain};
use crate::model::{InstanceRecord, LinkPlan, RunPlan};

/// The key that says whether an instance is to run after the host comes up again.
pub(super) const LAST_POWER: &str = "volatile.last_state.power";

/// What the daemon says in it.
pub(super) const POWERS: [&str; 2] = ["RUNNING", "STOPPED"];

/// How long a killed guest may take to be gone.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// How long an agent may take to leave once its guest is gone, before it is killed.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

/// How long the last tasks of a guest may take to be gone.
const TASKS_PATIENCE: Duration = Duration::from_secs(10);

/// After this time, what a killed guest waits for is ended where that can be done.
const KILLED_AT_ONCE: Duration = Duration::from_secs(1);

/// Kills a guest; returns when each of its tasks is on its way out.
#[tracing::instrument(level = "debug", name = "stop: kill", skip_all)]
pub(super) async fn kill(run: &Run) -> Result<()> {
    let (cgroup, plan) = (run.cgroup.clone(), run.plan.clone());
    blocking(move || end_tasks(&cgroup, &plan, KILL_PATIENCE)).await
}

fn end_tasks(cgroup: &InstanceCgroup, plan: &RunPlan, patience: Duration) -> Result<()> {
    cgroup.kill()?;
    if cgroup.wait_exiting(KILLED_AT_ONCE)? {
        return Ok(());
    }
    // A guest's own file systems can keep it from ending, for ever.
    let ids = IdRange::new(plan.id_base, RANGE_SIZE);
    match ids.map_or(Ok(0), sc_sys::fuse::abort) {
        Ok(0) => {}
        Ok(aborted) => tracing::info!(instance = %plan.instance, aborted,
            "its FUSE connections were aborted: it would not have ended"),
        Err(error) => {
            tracing::warn!(instance = %plan.instance, error = chain(&error),
                "abort FUSE connections");
        }
    }
    match cgroup.wait_exiting(patience)? {
        true => Ok(()),
        false => Err(do_not_end(cgroup)),
    }
}

/// Names what does not end, and what it waits for.
fn do_not_end(cgroup: &InstanceCgroup) -> Error {
    let tasks = cgroup.lasting().unwrap_or_default();
    let shown = tasks.iter().map(|task| {
        let waits_in = task.waits_in.as_deref().unwrap_or("the kernel");
        format!("{} ({:?}, waits in {waits_in})", task.id, task.name)
    });
    let shown: Vec<String> = shown.collect();
    Error::new(
        sc_api::ErrorKind::Unavailable,
        format!(
            "some of its processes do not end when killed: {}; they end when what they wait for on \
             the host answers, such as a disk or a file server: see to that, then try again",
            shown.join(", ")
        ),
    )
}

/// What a run has left outside that could not be taken away.
#[derive(Debug)]
pub(super) struct Left {
    plan: RunPlan,
    intent: IntentId,
    /// Why not.
    pub why: Error,
}

/// Clears up after a run that has ended, and writes the record down in the same commit: a run that is
/// forgotten has left the truth behind. Returns what is left of the run, and whether the record is written.
pub(super) async fn finish(
    ctx: &Ctx,
    plan: RunPlan,
    intent: IntentId,
    record: &InstanceRecord,
) -> (Option<Left>, Result<()>) {
    let left = clear_up(ctx, plan, intent, Some(record)).await;
    if left.is_none() {
        return (None, Ok(()));
    }
    // It is written again when the run is cleared up.
    let noted = note(ctx, record, &BTreeSet::new()).await;
    if let Err(error) = &noted {
        tracing::error!(instance = %record.name, error = %error.chain(), "write that it has ended");
    }
    (left, noted)
}

/// Writes down how an instance is, and that nothing is left to be done of some intents. Tried twice: after a
/// failure the store is opened anew, which mends what passes.
pub(super) async fn note(
    ctx: &Ctx,
    record: &InstanceRecord,
    done: &BTreeSet<IntentId>,
) -> Result<()> {
    let mut draft = Draft::new();
    draft.put(record)?;
    for intent in done {
        draft.change(ctx.journal.clear_change(*intent));
    }
    if ctx.journal.apply(draft.clone()).await.is_err() {
        ctx.journal.apply(draft).await?;
    }
    Ok(())
}

/// The record with `volatile.last_state.power`.
pub(super) fn with_power(record: &InstanceRecord, power: &str) -> InstanceRecord {
    let mut record = record.clone();
    record.config.insert(LAST_POWER.into(), power.into());
    record
}

/// Takes away everything that a run has put outside, whether it is there or not, and writes `record` down
/// with that, where the instance is kept; returns what could not be taken away.
#[tracing::instrument(level = "debug", name = "stop: clear up", skip_all)]
pub(super) async fn clear_up(
    ctx: &Ctx,
    plan: RunPlan,
    intent: IntentId,
    record: Option<&InstanceRecord>,
) -> Option<Left> {
    let why = take_away(ctx, &plan, intent, record).await.err()?;
    tracing::error!(instance = %plan.instance, error = %why.chain(), "clear up after a run");
    Some(Left { plan, intent, why })
}

/// Tries once more.
pub(super) async fn clear_up_again(ctx: &Ctx, left: Left, record: &InstanceRecord) -> Option<Left> {
    clear_up(ctx, left.plan, left.intent, Some(record)).await
}

async fn take_away(
    ctx: &Ctx,
    plan: &RunPlan,
    intent: IntentId,
    record: Option<&InstanceRecord>,
) -> Result<()> {
    let steps = ctx.steps.operation("clear-up");
    steps.reach("begun")?;
    // Of another boot nothing stands any more; its names may be another run's by now.
    if plan.boot_id == ctx.paths.boot_id() {
        // The agent first: while it lives it holds the volume, the cgroup and the namespaces. The
        // guest's tasks are ended in any case.
        let agent = end_agent(ctx, plan).await;
        remove_cgroup(ctx, plan).await.map_err(|error| error.within("remove the cgroup"))?;
        agent?;
        steps.reach("processes")?;
        remove_file(&ctx.paths.agent_socket(plan.run))?;
        remove_file(&ctx.paths.exit_record(plan.run))?;
        steps.reach("files")?;
    }
    for link in &plan.links {
        unplug(ctx, plan, link).await?;
    }
    steps.reach("links")?;
    // Not before: as long as one of the guest's tasks lives, nobody else may have its ids.
    ctx.host.ids.release(&ctx.host.id_owner(plan.instance.as_str()))?;
    steps.reach("ids")?;
    let mut draft = Draft::new();
    if let Some(record) = record {
        draft.put(record)?;
    }
    draft.change(ctx.journal.clear_change(intent));
    ctx.journal.apply(draft).await?;
    Ok(())
}

#[tracing::instrument(level = "debug", name = "stop: agent", skip_all)]
async fn end_agent(ctx: &Ctx, plan: &RunPlan) -> Result<()> {
    let socket = ctx.paths.agent_socket(plan.run);
    // Nobody listens when it has ended; whatever remains of its guest goes with the cgroup.
    let gone = async {
        while !AgentLink::has_gone(&socket) {
            let Ok((link, _, mut events)) = AgentLink::connect(&socket).await else {
                tokio::time::sleep(GREETING_PAUSE).await;
                continue;
            };
            link.quit().await;
            while !matches!(events.recv().await, Some(AgentEvent::Gone) | None) {}
        }
    };
    match tokio::time::timeout(AGENT_PATIENCE, gone).await {
        Ok(()) => Ok(()),
        Err(_) => agent::kill(&socket, &plan.instance)
            .await
            .map_err(|error| error.within("the agent does not leave")),
    }
}

async fn unplug(ctx: &Ctx, plan: &RunPlan, link: &LinkPlan) -> Result<()> {
    // Without its network there is no link of it either.
    let Ok(network) = ctx.networks.get(link.network.as_str()) else { return Ok(()) };
    Ok(network.detach(plan.instance.as_str(), &link.device, &link.host_name).await?)
}

#[tracing::instrument(level = "debug", name = "stop: cgroup", skip_all)]
async fn remove_cgroup(ctx: &Ctx, plan: &RunPlan) -> Result<()> {
    let (ctx, plan, id) = (ctx.clone(), plan.clone(), plan.cgroup());
    blocking(move || {
        let cgroup = ctx.host.cgroups.instance(&id)?;
        end_tasks(&cgroup, &plan, TASKS_PATIENCE)?;
        Ok(cgroup.remove()?)
    })
    .await
}

fn remove_file(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::because(
            sc_api::ErrorKind::Internal,
            format!("remove {}", path.display()),
            error,
        )),
        _ => Ok(()),
    }
}

/// Lets DNS follow the addresses that a guest really has.
pub(super) fn names_follow(ctx: &Ctx, run: &std::sync::Arc<Run>, interfaces: &[Interface]) {
    for link in &run.plan.links {
        let Ok(network) = ctx.networks.get(link.network.as_str()) else { continue };
        let addresses: Vec<IpAddr> = interfaces
            .iter()
            .filter(|interface| interface.name == link.guest_name)
            .flat_map(|interface| &interface.addresses)
            .filter(|address| address.scope == Scope::Global)
            .map(|address| address.address)
            .collect();
        // Here and now, a file of a few lines: told behind, an earlier state could come last.
        let (instance, device) = (&run.plan.instance, &link.device);
        if let Err(error) = network.set_addresses(instance.as_str(), device, &addresses) {
            tracing::warn!(%instance, device, error = chain(&error),
                "tell DNS an instance's addresses");
        }
    }
}
