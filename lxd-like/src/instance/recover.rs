//! What a new daemon does about the instances of the one before it.
//!
//! Creations that were not finished are taken back, deletions are finished, and runs are taken up
//! again where their agent lives: same guest, same pids. What a dead run has left is cleared up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sc_api::InstanceName;
use sc_profiles::Settings;
use sc_store::IntentId;
use tokio::task::JoinSet;

use super::owner::{self, Leftover, State};
use super::registry::Instances;
use super::run::Active;
use super::seek::Search;
use super::stop::Left;
use super::unfinished::Restart;
use super::{config, delete, stop, update};
use crate::context::Ctx;
use crate::error::{Error, Result, chain};
use crate::model::{InstanceRecord, Intent, PROJECT, RunPlan};

/// How long the start waits for agents to answer.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(15);

/// What is left to do once every instance has an owner.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Instances that ran when the host went down.
    pub ran: Vec<InstanceName>,
    /// Those that are not taken up yet, as their agent keeps them waiting.
    pub late: JoinSet<TakenUp>,
    /// Restarts that the daemon before this one had begun.
    pub restarts: Vec<Restart>,
}

/// An instance that has an owner again.
#[derive(Debug)]
pub struct TakenUp {
    pub name: InstanceName,
    /// Whether it ran when the host went down.
    pub ran: bool,
}

/// What the journal says of one instance.
#[derive(Debug, Default)]
struct Known {
    /// A run, which may go on.
    run: Option<(IntentId, RunPlan)>,
    /// What could not be cleared up after a run.
    left: Option<Left>,
    /// The entry by which the instance is to be deleted, and could not be.
    deletion: Option<IntentId>,
    /// Whether it is to be started again.
    restarting: bool,
}

/// What the journal says of the instances in it.
type Journaled = HashMap<InstanceName, Known>;

impl Instances {
    /// Recovers all instances and puts an owner in charge of each.
    pub async fn recover(&self) -> Result<Recovered> {
        let ctx = self.ctx();
        let (mut journaled, rest) = sort_out(ctx.journal.pending()?);
        let steps = ctx.steps.operation("recover");
        let mut restarts = BTreeMap::<_, Restart>::new();
        for (id, intent) in rest {
            match intent {
                Intent::Create { instance, .. } => {
                    let known = journaled.remove(&instance).unwrap_or_default();
                    let remains = take_back(ctx, id, &instance, known).await;
                    journaled.extend(remains.map(|known| (instance, known)));
                }
                // A guest was not to be deleted: an entry that could not be cleared when that was refused.
                Intent::Delete { instance, .. }
                    if journaled.get(&instance).is_some_and(|known| known.run.is_some()) =>
                {
                    tracing::warn!(%instance, "a deletion that was refused is forgotten");
                    ctx.done(id).await;
                }
                Intent::Delete { instance, .. } => {
                    let remains = finish_deletion(ctx, id, &instance).await;
                    journaled.extend(remains.map(|known| (instance, known)));
                }
                Intent::Restart { instance } => {
                    let run = journaled.get(&instance).and_then(|known| known.run.as_ref());
                    let restart = self.unfinished().note(&instance, id, run);
                    restarts.insert(instance, restart);
                }
                _ => continue,
            }
            steps.reach("an intent")?;
        }
        for instance in restarts.keys() {
            journaled.entry(instance.clone()).or_default().restarting = true;
        }
        release_stale_ids(ctx, &journaled);
        let (ran, late) = self.take_up_all(&mut journaled).await?;
        // Runs of instances that are in no list any more. What cannot be cleared up now is in the
        // journal, for the next daemon.
        for (id, plan) in journaled.into_values().filter_map(|known| known.run) {
            let _ = stop::clear_up(ctx, plan, id, None).await;
        }
        steps.reach("all")?;
        Ok(Recovered { ran, late, restarts: restarts.into_values().collect() })
    }

    /// Finds out where one instance is whose owner has ended early, and puts a new one in charge.
    pub(super) async fn recover_one(&self, name: &InstanceName) -> Result<()> {
        let (mut journaled, rest) = sort_out(self.ctx().journal.pending()?);
        let mut known = journaled.remove(name).unwrap_or_default();
        let noted = self.unfinished().has(name);
        let mut restart = None;
        for (id, intent) in &rest {
            if matches!(intent, Intent::Restart { instance } if instance == name) {
                restart = Some(self.unfinished().note(name, *id, known.run.as_ref()));
            }
        }
        known.restarting = self.unfinished().has(name);
        known.deletion = rest.into_iter().find_map(|(id, intent)| match intent {
            Intent::Create { instance, .. } | Intent::Delete { instance, .. } => {
                (instance == *name).then_some(id)
            }
            _ => None,
        });
        match self.ctx().store.get_doc::<InstanceRecord>(&[PROJECT, name.as_str()])? {
            Some(record) => drop(take_up(self, record.value, known).await),
            None => self.remove(name),
        }
        // One that was noted before has somebody who finishes it.
        if let Some(restart) = restart.filter(|_| !noted) {
            let instances = self.clone();
            tokio::spawn(async move { instances.finish_restart(restart).await });
        }
        Ok(())
    }

    /// Puts an owner in charge of each; returns those that ran when the host went down, and what is still
    /// waited for.
    async fn take_up_all(
        &self,
        journaled: &mut Journaled,
    ) -> Result<(Vec<InstanceName>, JoinSet<TakenUp>)> {
        let mut tasks = JoinSet::new();
        for record in self.ctx().store.list_docs::<InstanceRecord>(&[PROJECT])? {
            let known = journaled.remove(&record.value.name).unwrap_or_default();
            let instances = self.clone();
            tasks.spawn(async move { take_up(&instances, record.value, known).await });
        }
        let mut ran = Vec::new();
        let all = async {
            while let Some(joined) = tasks.join_next().await {
                let taken =
                    joined.map_err(|e| Error::internal(format!("recover an instance: {e}")))?;
                ran.extend(taken.ran.then_some(taken.name));
            }
            Ok::<_, Error>(())
        };
        // An agent that is silent keeps the others waiting for so long only.
        if let Ok(outcome) = tokio::time::timeout(RECOVERY_PATIENCE, all).await {
            outcome?;
        }
        Ok((ran, tasks))
    }
}

/// The runs that are under way, and everything else.
fn sort_out(pending: Vec<(IntentId, Intent)>) -> (Journaled, Vec<(IntentId, Intent)>) {
    let (mut runs, mut rest) = (Journaled::new(), Vec::new());
    for (id, intent) in pending {
        match intent {
            Intent::Run(plan) => {
                let name = plan.instance.clone();
                runs.insert(name, Known { run: Some((id, plan)), ..Known::default() });
            }
            intent => rest.push((id, intent)),
        }
    }
    (runs, rest)
}

/// Takes back a creation that was not finished, with the start that may have followed it; returns
/// what cannot be taken back.
async fn take_back(
    ctx: &Ctx,
    id: IntentId,
    instance: &InstanceName,
    known: Known,
) -> Option<Known> {
    tracing::info!(%instance, "taking back a creation that was not finished");
    if let Some((run, plan)) = known.run
        && let Some(left) = stop::clear_up(ctx, plan, run, None).await
    {
        // Its volume may be in use, and its ids.
        return Some(Known { left: Some(left), deletion: Some(id), ..Known::default() });
    }
    remains(instance, id, erase(ctx, id, instance).await)
}

/// Finishes a deletion; returns what cannot be deleted.
async fn finish_deletion(ctx: &Ctx, id: IntentId, instance: &InstanceName) -> Option<Known> {
    tracing::info!(%instance, "finishing a deletion");
    remains(instance, id, erase(ctx, id, instance).await)
}

async fn erase(ctx: &Ctx, id: IntentId, instance: &InstanceName) -> Result<()> {
    match ctx.store.get_doc::<InstanceRecord>(&[PROJECT, instance.as_str()])? {
        Some(record) => delete::erase(ctx, &record.value, id).await,
        None => Ok(ctx.journal.clear(id).await?),
    }
}

/// No instance keeps the others from starting: what is to go and does not is in the list, cannot be
/// started, and goes with the next deletion or the next start of the daemon.
fn remains(instance: &InstanceName, deletion: IntentId, erased: Result<()>) -> Option<Known> {
    let error = erased.err()?;
    tracing::error!(%instance, error = %error.chain(), "finish or take back a request");
    Some(Known { deletion: Some(deletion), ..Known::default() })
}

/// Ranges that were claimed for runs that never came to be written down.
fn release_stale_ids(ctx: &Ctx, journaled: &Journaled) {
    let held = |known: &Known| known.run.is_some() || known.left.is_some();
    let alive = |name: &str| {
        name.parse().is_ok_and(|name: InstanceName| journaled.get(&name).is_some_and(held))
    };
    if let Err(error) = ctx.host.ids.release_stale(ctx.host.daemon_name(), alive) {
        tracing::warn!(error = chain(&error), "give stale id ranges back");
    }
}

/// Puts an owner in charge.
async fn take_up(instances: &Instances, mut record: InstanceRecord, known: Known) -> TakenUp {
    let ctx = instances.ctx();
    let ran = known.run.is_some();
    let (state, left) = match known.run {
        Some((intent, plan)) => find(ctx, &mut record, intent, plan).await,
        None => (State::Stopped, known.left),
    };
    let name = record.name.clone();
    let stopped = matches!(state, State::Stopped);
    let ran_last = record.config.get(stop::LAST_POWER).is_some_and(|power| power == "RUNNING");
    let over = stopped && record.last_used_at.is_some() && !known.restarting;
    let gone = record.ephemeral && over;
    let cleared_up = ran && stopped && left.is_none();
    let expanded = Arc::new(expanded(ctx, &record));
    let leftover = Leftover { run: left, deletion: known.deletion };
    let handle = owner::spawn(instances, Arc::new(record), expanded, state, leftover);
    instances.behind().note(name.clone());
    if gone && let Err(error) = handle.delete().await {
        tracing::error!(instance = %name, error = %error.chain(), "delete an ephemeral instance");
    }
    // What had been left of its run kept what it had been started with, whatever has been set since.
    if cleared_up
        && !gone
        && let Err(error) = handle.profiles_changed().await
    {
        tracing::warn!(instance = %name, error = %error.chain(), "hold what is set by now");
    }
    TakenUp { name, ran: stopped && ran_last && !gone && known.deletion.is_none() }
}

/// Finds out what has become of a run: it goes on, or it has ended and is cleared up, or nobody knows yet.
async fn find(
    ctx: &Ctx,
    record: &mut InstanceRecord,
    intent: IntentId,
    plan: RunPlan,
) -> (State, Option<Left>) {
    let this_boot = plan.boot_id == ctx.paths.boot_id();
    if this_boot {
        match Search::begin(ctx, intent, plan.clone()).end_at_once().await {
            Ok(Some(active)) => {
                *record = resume(ctx, record, &active).await;
                return (State::Running(active), None);
            }
            Err(search) => return (State::Silent(search), None),
            Ok(None) => {}
        }
    }
    tracing::info!(instance = %record.name, "a guest has ended while the daemon was away");
    // With the host it was running to the last, unless its stop by force was written down before that.
    if this_boot {
        *record = stop::with_power(record, "STOPPED");
    }
    let (left, _noted) = stop::finish(ctx, plan, intent, record).await;
    (State::Stopped, left)
}

/// What its configuration comes to. One that is not allowed any more, as after an update of the
/// daemon, keeps neither the daemon nor the other instances from starting: it is told then and again
/// when the instance is to start.
fn expanded(ctx: &Ctx, record: &InstanceRecord) -> Settings {
    config::of_record(ctx, record).map(|checked| checked.expanded).unwrap_or_else(|error| {
        tracing::error!(instance = %record.name, error = %error.chain(), "check a configuration");
        Settings { config: record.config.clone(), devices: record.devices.clone() }
    })
}

/// Goes on with what the daemon before this one may have begun and not finished for a guest that runs;
/// returns the record as it is with that.
pub(super) async fn resume(ctx: &Ctx, record: &InstanceRecord, active: &Active) -> InstanceRecord {
    let record = InstanceRecord { started_before: true, ..record.clone() };
    let limited = async {
        let limits = config::of_record(ctx, &record)?.effective.limits;
        update::apply_limits(ctx, &active.run, &limits).await
    };
    if let Err(error) = limited.await {
        tracing::warn!(instance = %record.name, error = %error.chain(), "set an instance's limits");
    }
    record
}
