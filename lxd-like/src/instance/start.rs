//! Starting an instance.
//!
//! Everything that will stand outside is named first and written to the journal in one commit, a
//! launch's together with the new instance; then it is made, what can be at once. When a step fails,
//! what was made is taken away by the same plan that a new daemon would use after a crash.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use sc_agent_protocol::{Event, Exit, InitKind, Phase as AgentPhase};
use sc_api::{InstanceName, Timestamp};
use sc_network::NicRequest;
use sc_profiles::Effective;
use sc_store::{Change, Draft, IntentId};
use sc_sys::cgroup::InstanceCgroup;
use tokio::sync::mpsc;

use super::agent::{AgentEvent, AgentLink, boot_failure};
use super::config::Checked;
use super::run::{Active, Observed, Run};
use super::{spec, stop, update};
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::{InstanceRecord, Intent, LinkPlan, RunPlan};
use crate::proven::Recipe;

/// How long an agent may take to make its namespaces.
const NAMESPACES_PATIENCE: Duration = Duration::from_secs(30);

/// How long the agent's word on a failure is waited for.
const LAST_WORD_PATIENCE: Duration = Duration::from_millis(200);

/// How long a known init system is watched before it counts as started.
const SETTLING: Duration = Duration::from_millis(3);

/// The same for a program that is no init system known here.
const STRANGER_SETTLING: Duration = Duration::from_millis(50);

/// A run that is to be written down, or is: what will stand outside has a name and is not made.
#[derive(Debug)]
pub(super) struct Begun {
    plan: RunPlan,
    intent: IntentId,
    effective: Effective,
    /// The record as it is written down with it.
    pub starting: InstanceRecord,
    /// Made ahead, where there was time.
    cgroup: Option<Arc<InstanceCgroup>>,
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

    /// It could not be written down.
    pub fn forget(self, ctx: &Ctx) {
        release_ids(ctx, &self.plan);
    }

    /// It is written down and will not be; returns what could not be taken away.
    pub async fn take_back(self, ctx: &Ctx) -> Option<stop::Left> {
        stop::clear_up(ctx, self.plan, self.intent).await
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

/// The start that a launch ends with.
#[derive(Debug)]
pub(super) struct Launch {
    /// The journal's entry of the creation.
    pub creation: IntentId,
    /// The run, written down with the new instance.
    pub begun: Begun,
}

/// Starts an instance; returns it running, and its record as it is kept from now on. With the first
/// success the creation that the start belongs to is done.
#[tracing::instrument(level = "debug", name = "start", skip_all)]
pub(super) async fn start(
    ctx: &Ctx,
    record: &InstanceRecord,
    checked: &Checked,
    mut creation: Option<IntentId>,
    begun: Option<Begun>,
) -> Result<(Active, InstanceRecord), Failed> {
    let named = |error: Error| error.within(format!("start instance {}", record.name));
    let begun = match begun {
        Some(begun) => Ok(begun),
        None => begin(ctx, record, &checked.effective).await,
    };
    let begun = begun.map_err(|error| Failed { error: named(error), left: None, creation })?;
    let Begun { plan, intent, starting, cgroup, .. } = begun;
    let started = async {
        let (run, mut events) = boot(ctx, record, checked, &plan, cgroup).await?;
        // Written while init is watched: should it not come up after all, that is a deletion of its own.
        let watched = watch(ctx, record, checked, &run, &mut events);
        let (watched, confirmed) = tokio::join!(watched, confirm(ctx, starting, creation));
        let started = confirmed?;
        creation = None;
        watched?;
        Ok((Active { run: Arc::new(run), intent, events, exit: None }, started))
    };
    match started.await {
        Ok(started) => Ok(started),
        Err(error) => {
            // It was not running and is not: nothing that a new daemon would start by itself.
            stop::write(ctx, record).await;
            let left = stop::clear_up(ctx, plan, intent).await;
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
    ctx.store.apply(draft).await?;
    Ok(record)
}

/// Watches the first moments of init, unless its like was seen to come up before.
async fn watch(
    ctx: &Ctx,
    record: &InstanceRecord,
    checked: &Checked,
    run: &Run,
    events: &mut Events,
) -> Result<()> {
    let recipe = Recipe::of(record, &checked.expanded);
    if recipe.is_some_and(|recipe| ctx.proven.knows(recipe)) {
        return Ok(());
    }
    let settled = settle(&run.observed(), events).await;
    settled.map_err(|error| with_last_words(ctx, &record.name, error))?;
    if let Some(recipe) = recipe {
        ctx.proven.note(recipe);
    }
    Ok(())
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

#[tracing::instrument(level = "debug", name = "start: commit", skip_all)]
async fn begin(ctx: &Ctx, record: &InstanceRecord, effective: &Effective) -> Result<Begun> {
    let (begun, change) = Begun::new(ctx, record, effective)?;
    let written = async {
        let mut draft = Draft::new();
        draft.change(change).put(&begun.starting)?;
        Ok::<_, Error>(ctx.store.apply(draft).await?)
    };
    match written.await {
        Ok(_) => Ok(begun),
        Err(error) => {
            begun.forget(ctx);
            Err(error)
        }
    }
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
    let rooting = blocking(move || Ok(pool.plan(&volume)?));
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

    let launch = spec::build(ctx, record, checked, plan, root, &cgroup)?;
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
async fn namespaces(events: &mut Events) -> Result<std::os::fd::OwnedFd> {
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
    netns: &std::os::fd::OwnedFd,
) -> Result<()> {
    use std::os::fd::AsFd;
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

/// Watches the first moments of init. Of a known init system these are few: what is wrong with it
/// (a library that is missing, another processor) shows when it is loaded. Any other program may be
/// a script that does something first.
#[tracing::instrument(level = "debug", name = "start: init", skip_all)]
async fn settle(observed: &Observed, events: &mut Events) -> Result<()> {
    let patience = match observed.init {
        InitKind::Other => STRANGER_SETTLING,
        _ => SETTLING,
    };
    let deadline = tokio::time::Instant::now() + patience;
    while !handles_signals(observed.pid, observed.init) && tokio::time::Instant::now() < deadline {
        let pause = tokio::time::sleep(Duration::from_millis(1));
        tokio::select! {
            event = events.recv() => match event {
                Some(AgentEvent::Event(Event::Failed(failure))) => return Err(boot_failure(&failure)),
                Some(AgentEvent::Event(Event::Ended(exit))) => return Err(ended_at_once(&exit)),
                Some(AgentEvent::Gone) | None => {
                    return Err(Error::internal("the agent ended with the guest's init"));
                }
                Some(_) => {}
            },
            () = pause => {}
        }
    }
    Ok(())
}

/// Whether a known init handles or blocks any signal (`proc_pid_status(5)`), which shows that it was
/// loaded and has come to work. Of a stranger it may be its shell that does.
fn handles_signals(pid: u32, init: InitKind) -> bool {
    if init == InitKind::Other {
        return false;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigCgt:").or_else(|| line.strip_prefix("SigBlk:")))
        .any(|mask| mask.trim().bytes().any(|digit| digit != b'0'))
}

fn ended_at_once(exit: &Exit) -> Error {
    let how = match exit {
        Exit::Halted => "with exit status 0".into(),
        Exit::Failed { status } => format!("with exit status {status}"),
        Exit::Killed { signal } => format!("by signal {signal}"),
    };
    Error::invalid(format!(
        "the guest's init ended at once, {how} (use an image whose /sbin/init is an init system)"
    ))
}

/// Adds the last line that the guest has written to its console: it often says why.
fn with_last_words(ctx: &Ctx, name: &InstanceName, error: Error) -> Error {
    let console = std::fs::read(ctx.paths.console_log(name.as_str())).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    match console.lines().rev().find(|line| !line.trim().is_empty()) {
        None => error,
        Some(line) => Error::new(
            error.kind(),
            format!("{}; the last it said: {:?}", error.chain(), line.trim()),
        ),
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

fn release_ids(ctx: &Ctx, plan: &RunPlan) {
    if let Err(error) = ctx.host.ids.release(&ctx.host.id_owner(plan.instance.as_str())) {
        tracing::warn!(instance = %plan.instance, %error, "give an id range back");
    }
}
