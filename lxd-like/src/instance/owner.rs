//! The task that owns one instance.
//!
//! It takes one input at a time (a request, an event of the agent, a deadline), so nothing about
//! an instance ever happens twice at once. What takes long is awaited right here, with one
//! exception: while an instance stops, requests are still looked at, since force is the way out.

use std::collections::VecDeque;
use std::sync::Arc;

use sc_agent_protocol::{Event, Exit};
use sc_api::InstanceName;
use sc_store::IntentId;
use tokio::sync::{mpsc, oneshot, watch};

use super::agent::AgentEvent;
use super::handle::{InstanceHandle, StopMode};
use super::queue::{Ask, admit};
use super::stopping::{Stopping, Then, answer, forced};
use super::update::Update;
use super::view::{Phase, Run, View};
use super::{config, delete, keep, recover, start, stop, update};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::etag::IfMatch;
use crate::model::{InstanceRecord, Intent};

/// How a request is answered.
pub(super) type Reply = oneshot::Sender<Result<()>>;

/// What is asked of the owner.
#[derive(Debug)]
pub(super) enum Command {
    Created(bool, Reply),
    Start(Reply),
    Stop(StopMode, Reply),
    Restart(StopMode, Reply),
    Delete(Reply),
    Update(Update, IfMatch, Reply),
    ProfilesChanged(Reply),
}

/// An instance that runs, as its owner holds it.
#[derive(Debug)]
pub(super) struct Active {
    pub run: Arc<Run>,
    /// The journal's entry of the run.
    pub intent: IntentId,
    pub events: mpsc::UnboundedReceiver<AgentEvent>,
    /// How the guest ended, once it has.
    pub exit: Option<Exit>,
}

/// Where the instance is, with what the owner holds there.
#[derive(Debug)]
enum State {
    Creating,
    Stopped,
    Running(Active),
    Stopping(Active, Stopping),
    Gone,
}

/// What comes next for the owner.
enum Input {
    Command(Command),
    Agent(AgentEvent),
    Deadline,
    Abandoned,
}

/// The owner.
pub(super) struct Owner {
    ctx: Ctx,
    commands: mpsc::UnboundedReceiver<Command>,
    view: watch::Sender<View>,
    state: State,
    /// Requests that came between the answer to a kill and the end of its clearing up.
    deferred: VecDeque<Command>,
}

/// Puts an owner in charge of an instance and enters it in the registry.
pub(super) fn spawn(ctx: &Ctx, view: View, active: Option<Active>) -> Arc<InstanceHandle> {
    let (sender, commands) = mpsc::unbounded_channel();
    let name = view.record.name.clone();
    let state = match (&view.phase, active) {
        (Phase::Creating, _) => State::Creating,
        (_, Some(active)) => State::Running(active),
        (_, None) => State::Stopped,
    };
    let (view, watched) = watch::channel(view);
    let handle = Arc::new(InstanceHandle::new(name.clone(), sender, watched));
    ctx.instances.insert(handle.clone());
    let deferred = VecDeque::new();
    let owner = Owner { ctx: ctx.clone(), commands, view, state, deferred };
    tokio::spawn(supervise(ctx.clone(), name, owner));
    handle
}

/// Lets the owner work. Should it end by a panic, the instance gets a new owner, which finds out as a
/// new daemon would where the instance is.
async fn supervise(ctx: Ctx, name: InstanceName, owner: Owner) {
    let Err(panic) = tokio::spawn(owner.run()).await else { return };
    tracing::error!(instance = %name, %panic, "an instance's owner ended early");
    if let Err(error) = recover::again(&ctx, &name).await {
        tracing::error!(instance = %name, error = %error.chain(), "take an instance up again");
    }
}

impl Owner {
    async fn run(mut self) {
        while !matches!(self.state, State::Gone) {
            match self.next().await {
                Input::Command(command) => self.obey(command).await,
                Input::Agent(event) => self.hear(event).await,
                Input::Deadline => self.give_up_stopping().await,
                Input::Abandoned => return,
            }
        }
        self.ctx.instances.remove(&self.record().name);
    }

    async fn next(&mut self) -> Input {
        let command = |command: Option<Command>| command.map_or(Input::Abandoned, Input::Command);
        let event = |event: Option<AgentEvent>| Input::Agent(event.unwrap_or(AgentEvent::Gone));
        if !matches!(self.state, State::Stopping(..))
            && let Some(next) = self.deferred.pop_front()
        {
            return Input::Command(next);
        }
        match &mut self.state {
            State::Running(active) => tokio::select! {
                next = self.commands.recv() => command(next),
                next = active.events.recv() => event(next),
            },
            State::Stopping(active, stopping) => tokio::select! {
                next = self.commands.recv() => command(next),
                next = active.events.recv() => event(next),
                () = tokio::time::sleep_until(stopping.deadline) => Input::Deadline,
            },
            State::Creating | State::Stopped | State::Gone => command(self.commands.recv().await),
        }
    }

    async fn obey(&mut self, command: Command) {
        if matches!(&self.state, State::Stopping(_, stopping) if stopping.acknowledged) {
            return self.deferred.push_back(command);
        }
        match command {
            Command::Created(made, reply) => self.created(made, reply),
            Command::Start(reply) => {
                let outcome = match self.admit(Ask::Start) {
                    Ok(()) => self.start().await,
                    Err(error) => Err(error),
                };
                answer(reply, outcome);
            }
            Command::Stop(mode, reply) => self.stop(mode, Ask::Stop, Then::Rest, reply).await,
            Command::Restart(mode, reply) => match self.admit(forced(mode, Ask::Restart)) {
                Ok(()) => self.restart(mode, reply).await,
                Err(error) => answer(reply, Err(error)),
            },
            Command::Delete(reply) => {
                let outcome = match self.admit(Ask::Delete) {
                    Ok(()) => self.delete().await,
                    Err(error) => Err(error),
                };
                answer(reply, outcome);
            }
            Command::Update(update, guard, reply) => {
                let outcome = match self.admit(Ask::Update) {
                    Ok(()) => self.update(update, &guard).await,
                    Err(error) => Err(error),
                };
                answer(reply, outcome);
            }
            Command::ProfilesChanged(reply) => {
                let outcome = self.take_over_profiles().await;
                answer(reply, outcome);
            }
        }
    }

    async fn hear(&mut self, event: AgentEvent) {
        let stopping = matches!(self.state, State::Stopping(..));
        let (State::Running(active) | State::Stopping(active, _)) = &mut self.state else { return };
        let name = active.run.plan.instance.as_str();
        match event {
            AgentEvent::Gone => self.ended().await,
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

    fn created(&mut self, made: bool, reply: Reply) {
        if made {
            self.enter(State::Stopped);
            self.keep_copy();
            self.lifecycle("instance-created");
        } else {
            self.enter(State::Gone);
        }
        answer(reply, Ok(()));
    }

    async fn start(&mut self) -> Result<()> {
        self.show(Phase::Starting);
        match start::start(&self.ctx, &self.record()).await {
            Ok((active, record)) => {
                self.view.send_modify(|view| view.record = Arc::new(record));
                self.enter(State::Running(active));
                self.lifecycle("instance-started");
                make_room_for_neighbours(&self.ctx);
                Ok(())
            }
            Err(error) => {
                self.enter(State::Stopped);
                Err(error)
            }
        }
    }

    /// Stops it to start it again; a daemon that comes after a crash in between starts it, too.
    async fn restart(&mut self, mode: StopMode, reply: Reply) {
        let instance = self.record().name.clone();
        let intent = match self.ctx.journal.begin(&Intent::Restart { instance }).await {
            Ok(intent) => intent,
            Err(error) => return answer(reply, Err(error.into())),
        };
        // The restart is answered when the start is: the stop's own waiter is a dummy.
        let (stopped, _) = oneshot::channel();
        self.stop(mode, Ask::Restart, Then::Start(reply, intent), stopped).await;
        if !matches!(self.state, State::Stopping(..)) {
            self.restarted(intent).await;
        }
    }

    /// A restart has come to its end, one way or the other.
    async fn restarted(&self, intent: IntentId) {
        if let Err(error) = self.ctx.journal.clear(intent).await {
            tracing::error!(instance = %self.record().name, %error, "clear the entry of a restart");
        }
    }

    async fn stop(&mut self, mode: StopMode, ask: Ask, then: Then, waiter: Reply) {
        if let Err(error) = self.admit(forced(mode, ask)) {
            return answer(waiter, Err(error));
        }
        let (active, mut stopping) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running(active) => (active, Stopping::new(mode)),
            State::Stopping(active, stopping) => (active, stopping),
            other => unreachable!("a stop is not admitted in {other:?}"),
        };
        stopping.waiters.push(waiter);
        if mode == StopMode::Force {
            stopping.extend(stop::KILL_PATIENCE);
        }
        if let Then::Start(..) = then {
            stopping.then = then;
        }
        let asked = match mode {
            StopMode::Orderly(_) => active.run.link.stop().await,
            StopMode::Force => stop::kill(&active.run).await,
        };
        match asked {
            Ok(()) => {
                self.enter(State::Stopping(active, stopping));
                if mode == StopMode::Force {
                    self.acknowledge_kill();
                }
            }
            Err(error) => {
                let text = error.chain();
                self.enter(State::Running(active));
                stopping.fail(&Error::internal(format!("stop the instance: {text}")));
            }
        }
    }

    /// Every task of the guest is exiting: it counts as stopped. What is left is cleared up before
    /// the next request is looked at.
    fn acknowledge_kill(&mut self) {
        let State::Stopping(_, stopping) = &mut self.state else { return };
        for waiter in stopping.waiters.drain(..) {
            answer(waiter, Ok(()));
        }
        stopping.acknowledged = true;
        self.show(Phase::Stopped);
    }

    async fn give_up_stopping(&mut self) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Stopping(active, stopping) => {
                let error = Error::new(
                    sc_api::ErrorKind::Unavailable,
                    format!(
                        "Failed shutting down instance, status is \"Running\": it did not stop \
                         within {} seconds: wait longer (--timeout) or kill it (--force)",
                        stopping.patience.as_secs()
                    ),
                );
                self.enter(State::Running(active));
                if let Then::Start(_, intent) = stopping.then {
                    self.restarted(intent).await;
                }
                stopping.fail(&error);
            }
            other => self.state = other,
        }
    }

    /// The agent has gone, and with it the guest.
    async fn ended(&mut self) {
        let (active, stopping) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running(active) => (active, None),
            State::Stopping(active, stopping) => (active, Some(stopping)),
            other => return self.state = other,
        };
        let restarting = stopping.as_ref().is_some_and(|s| matches!(s.then, Then::Start(..)));
        let record = stop::finish(&self.ctx, active, &self.record(), restarting).await;
        self.view.send_modify(|view| view.record = Arc::new(record));
        self.enter(State::Stopped);
        self.lifecycle("instance-shutdown");
        let (waiters, then) = stopping.map_or((Vec::new(), Then::Rest), |s| (s.waiters, s.then));
        match then {
            Then::Start(reply, intent) => {
                let outcome = self.start().await;
                self.restarted(intent).await;
                answer(reply, outcome);
            }
            Then::Rest if self.record().ephemeral => {
                if let Err(error) = self.delete().await {
                    tracing::error!(instance = %self.record().name, error = %error.chain(),
                        "an ephemeral instance could not be deleted");
                }
            }
            Then::Rest => {}
        }
        for waiter in waiters {
            answer(waiter, Ok(()));
        }
    }

    async fn delete(&mut self) -> Result<()> {
        self.show(Phase::Deleting);
        match delete::delete(&self.ctx, &self.record()).await {
            Ok(()) => {
                self.ctx.instances.remove(&self.record().name);
                self.lifecycle("instance-deleted");
                self.state = State::Gone;
                Ok(())
            }
            Err(error) => {
                self.enter(State::Stopped);
                Err(error)
            }
        }
    }

    async fn update(&mut self, update: Update, guard: &IfMatch) -> Result<()> {
        let before = self.record().put();
        guard.check(&before)?;
        let put = update.applied_to(before);
        let record = update::update(&self.ctx, &self.record(), put, self.run_now()).await?;
        let expanded = config::of_record(&self.ctx, &record)?.expanded;
        self.view.send_modify(|view| {
            view.record = Arc::new(record);
            view.expanded = Arc::new(expanded);
        });
        self.keep_copy();
        self.lifecycle("instance-updated");
        Ok(())
    }

    async fn take_over_profiles(&mut self) -> Result<()> {
        let record = self.record();
        let checked = config::of_record(&self.ctx, &record)?;
        if let Some(run) = self.run_now() {
            update::apply_limits(&self.ctx, &run, &checked.effective.limits).await?;
        }
        self.view.send_modify(|view| view.expanded = Arc::new(checked.expanded));
        self.keep_copy();
        Ok(())
    }

    fn admit(&self, ask: Ask) -> Result<()> {
        admit(self.view.borrow().phase.standing(), ask)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        let phase = match &self.state {
            State::Creating => Phase::Creating,
            State::Stopped | State::Gone => Phase::Stopped,
            State::Running(active) => Phase::Running(active.run.clone()),
            State::Stopping(active, _) => Phase::Stopping(active.run.clone()),
        };
        self.show(phase);
    }

    fn show(&self, phase: Phase) {
        self.view.send_modify(|view| view.phase = phase);
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
        keep::keep_copy(&self.ctx, &self.view.borrow());
    }

    fn lifecycle(&self, action: &str) {
        self.ctx.events.lifecycle(action, format!("/1.0/instances/{}", self.record().name));
    }
}

/// Each guest costs entries in tables that all namespaces of the host share.
fn make_room_for_neighbours(ctx: &Ctx) {
    let guests = ctx.instances.list().len();
    if let Err(error) = sc_network::sysctl::raise_neighbour_limits(guests) {
        tracing::warn!(%error, "raise the limits of the neighbour tables");
    }
}
