//! The task that owns one instance.
//!
//! It takes one input at a time (a request, an event of the agent, a deadline), so nothing about
//! an instance ever happens twice at once. What takes long is awaited right here, with one
//! exception: while an instance stops, requests are still looked at, since force is the way out.
//!
//! Here is how inputs come in and where the instance is; what is done about them is in [`power`],
//! [`ending`] and [`changes`].

mod changes;
mod ending;
mod power;
mod stopping;

use std::collections::VecDeque;
use std::sync::Arc;

use sc_agent_protocol::Event;
use sc_api::InstanceName;
use sc_profiles::Settings;
use sc_store::IntentId;
use tokio::sync::{mpsc, watch};

use self::stopping::{Stopping, answer};
use super::agent::AgentEvent;
use super::command::{Command, Creation};
use super::handle::{InstanceHandle, not_found};
use super::queue::{Ask, admit};
use super::registry::Instances;
use super::run::{Active, Run};
use super::seek::Search;
use super::start::Wanted;
use super::stop;
use super::stop::Left;
use super::view::{Phase, View};
use crate::context::Ctx;
use crate::error::Result;
use crate::model::InstanceRecord;

/// Where the instance is, with what the owner holds there.
#[derive(Debug)]
pub(super) enum State {
    Creating,
    Stopped,
    Running(Active),
    Stopping(Active, Stopping),
    /// Its agent does not answer.
    Silent(Search),
    Gone,
}

impl State {
    /// What readers are shown of it.
    fn phase(&self) -> Phase {
        match self {
            Self::Creating => Phase::Creating,
            Self::Stopped | Self::Gone => Phase::Stopped,
            Self::Running(active) => Phase::Running(active.run.clone()),
            Self::Stopping(active, _) => Phase::Stopping(active.run.clone()),
            Self::Silent(_) => Phase::Silent,
        }
    }
}

/// What comes next for the owner.
enum Input {
    Command(Command),
    Agent(AgentEvent),
    Found(Option<Active>),
    Deadline,
    /// The daemon ends, while the guest stops in its own time.
    Leave,
    Abandoned,
}

/// What is to be done away with and could not be yet.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// What the last run has left; cleared up before the next.
    pub run: Option<Left>,
    /// The journal's entry by which the instance is to be deleted: of a deletion that has taken the
    /// root away and then failed, or of a launch that failed and cannot be taken back. It is not
    /// started again.
    pub deletion: Option<IntentId>,
}

/// The owner.
pub(super) struct Owner {
    ctx: Ctx,
    instances: Instances,
    commands: mpsc::UnboundedReceiver<Command>,
    view: watch::Sender<View>,
    state: State,
    leftover: Leftover,
    /// Requests that came between the answer to a kill and the end of its clearing up.
    deferred: VecDeque<Command>,
}

/// Puts an owner in charge of an instance and enters it in the registry.
pub(super) fn spawn(
    instances: &Instances,
    record: Arc<InstanceRecord>,
    expanded: Arc<Settings>,
    state: State,
    leftover: Leftover,
) -> Arc<InstanceHandle> {
    let (sender, commands) = mpsc::unbounded_channel();
    let name = record.name.clone();
    let (view, watched) = watch::channel(View { record, expanded, phase: state.phase() });
    let handle = Arc::new(InstanceHandle::new(name.clone(), sender, watched));
    instances.insert(handle.clone());
    let deferred = VecDeque::new();
    let (ctx, instances) = (instances.ctx().clone(), instances.clone());
    let owner =
        Owner { ctx, instances: instances.clone(), commands, view, state, leftover, deferred };
    tokio::spawn(supervise(instances, name, owner));
    handle
}

/// Lets the owner work. Should it end by a panic, the instance gets a new owner, which finds out as a
/// new daemon would where the instance is.
async fn supervise(instances: Instances, name: InstanceName, owner: Owner) {
    let Err(panic) = tokio::spawn(owner.run()).await else { return };
    tracing::error!(instance = %name, %panic, "an instance's owner ended early");
    if let Err(error) = instances.recover_one(&name).await {
        tracing::error!(instance = %name, error = %error.chain(), "take an instance up again");
    }
}

impl Owner {
    async fn run(mut self) {
        while !matches!(self.state, State::Gone) {
            match self.next().await {
                Input::Command(command) => self.obey(command).await,
                Input::Agent(event) => self.hear(event).await,
                Input::Found(found) => self.found(found).await,
                Input::Deadline => self.give_up_stopping().await,
                Input::Leave => self.leave_off_stopping(),
                Input::Abandoned => return,
            }
        }
        self.refuse_the_rest();
    }

    /// The instance is no more: what was asked of it meanwhile is answered. To delete it is done.
    fn refuse_the_rest(&mut self) {
        self.commands.close();
        while let Some(command) =
            self.deferred.pop_front().or_else(|| self.commands.try_recv().ok())
        {
            let outcome = match &command {
                Command::Delete(_) => Ok(()),
                _ => Err(not_found(self.record().name.as_str())),
            };
            answer(command.into_reply(), outcome);
        }
    }

    async fn next(&mut self) -> Input {
        let command = |command: Option<Command>| command.map_or(Input::Abandoned, Input::Command);
        if !matches!(self.state, State::Stopping(..))
            && let Some(next) = self.deferred.pop_front()
        {
            return Input::Command(next);
        }
        match &mut self.state {
            State::Running(active) => tokio::select! {
                next = self.commands.recv() => command(next),
                next = active.next_event() => Input::Agent(next),
            },
            State::Silent(search) => tokio::select! {
                next = self.commands.recv() => command(next),
                found = search.end() => Input::Found(found),
            },
            State::Stopping(active, stopping) => tokio::select! {
                next = self.commands.recv() => command(next),
                next = active.next_event() => Input::Agent(next),
                () = tokio::time::sleep_until(stopping.deadline) => Input::Deadline,
                () = self.ctx.shutdown.leave.cancelled(), if !stopping.killed => Input::Leave,
            },
            State::Creating | State::Stopped | State::Gone => command(self.commands.recv().await),
        }
    }

    async fn obey(&mut self, command: Command) {
        if matches!(&self.state, State::Stopping(_, stopping) if stopping.killed) {
            return self.deferred.push_back(command);
        }
        match command {
            Command::Created(outcome, reply) => answer(reply, self.created(outcome).await),
            Command::Start(reply) => answer(reply, self.start(Wanted::default()).await),
            Command::FinishRestart(reply) => self.finish_restart(reply).await,
            Command::Stop(mode, reply) => self.stop(mode, reply).await,
            Command::Restart(mode, reply) => self.restart(mode, reply).await,
            Command::Delete(reply) => answer(reply, self.delete().await),
            Command::Update(update, guard, reply) => {
                answer(reply, self.update(update, &guard).await);
            }
            Command::ProfilesChanged(reply) => answer(reply, self.take_over_profiles().await),
            Command::Settle(reply) => answer(reply, Ok(())),
        }
    }

    async fn hear(&mut self, event: AgentEvent) {
        let stopping = matches!(self.state, State::Stopping(..));
        let (State::Running(active) | State::Stopping(active, _)) = &mut self.state else { return };
        let name = active.run.plan.instance.as_str();
        match event {
            AgentEvent::Gone => self.lost_agent().await,
            AgentEvent::Event(Event::Ended(exit)) => active.exit = Some(exit),
            // While it is being stopped that is no news: a kill in its first second looks like it.
            AgentEvent::Event(Event::Failed(failure)) if !stopping => {
                tracing::warn!(
                    instance = name,
                    step = failure.step,
                    object = failure.object,
                    errno = failure.errno,
                    "the guest's init failed"
                );
            }
            AgentEvent::Event(Event::Started { pid, init, reboots }) => {
                active.run.observe(|observed| {
                    (observed.pid, observed.init, observed.reboots) = (pid, init, reboots);
                });
                if reboots > 0 {
                    self.lifecycle("instance-restarted");
                }
            }
            AgentEvent::Event(Event::Interfaces(interfaces)) => {
                stop::names_follow(&self.ctx, &active.run, &interfaces);
                active.run.observe(|observed| observed.interfaces = interfaces);
            }
            AgentEvent::Event(_) | AgentEvent::NamespacesReady(_) => {}
        }
    }

    async fn created(&mut self, outcome: Creation) -> Result<()> {
        if matches!(outcome, Creation::Made | Creation::ToStart(_)) {
            self.enter(State::Stopped);
            self.keep_copy();
            self.lifecycle("instance-created");
        }
        match outcome {
            // Its profiles may have changed meanwhile. What it cannot have of them, the next start tells.
            Creation::Made => {
                if let Err(error) = self.take_over_profiles().await {
                    let (instance, error) = (&self.record().name, error.chain());
                    tracing::warn!(%instance, error, "follow profiles that have changed");
                }
            }
            Creation::ToStart(wanted) => return self.start(*wanted).await,
            Creation::TakenBack => {
                self.instances.remove_shown(&self.record().name, &self.view);
                self.enter(State::Gone);
            }
            Creation::Remains(intent, left) => {
                self.leftover = Leftover { run: left, deletion: Some(intent) };
                self.enter(State::Stopped);
            }
        }
        Ok(())
    }

    fn admit(&self, ask: Ask) -> Result<()> {
        let view = self.view.borrow();
        admit(view.record.name.as_str(), view.phase.standing(), ask)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.show(self.state.phase());
    }

    fn show(&self, phase: Phase) {
        self.view.send_modify(|view| view.phase = phase);
    }

    fn keep(&self, record: InstanceRecord) {
        self.view.send_modify(|view| view.record = Arc::new(record));
    }

    fn record(&self) -> Arc<InstanceRecord> {
        self.view.borrow().record.clone()
    }

    fn run_now(&self) -> Option<Arc<Run>> {
        match &self.state {
            State::Running(active) | State::Stopping(active, _) => Some(active.run.clone()),
            _ => None,
        }
    }

    fn keep_copy(&self) {
        self.instances.behind().note(self.record().name.clone());
    }

    fn lifecycle(&self, action: &str) {
        self.ctx.events.lifecycle(action, format!("/1.0/instances/{}", self.record().name));
    }
}
