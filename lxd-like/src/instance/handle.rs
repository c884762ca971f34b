//! The handle through which everyone else deals with an instance's owner task.

use std::sync::Arc;
use std::time::Duration;

use sc_api::{ErrorKind, InstanceName};
use tokio::sync::{mpsc, oneshot, watch};

use super::command::{Command, Creation, StopMode};
use super::queue::silent;
use super::run::Run;
use super::update::Update;
use super::view::{Phase, View};
use crate::error::{Error, Result};
use crate::etag::IfMatch;

/// How long a new connection to an agent is waited for.
const RECONNECTING: Duration = Duration::from_secs(10);

/// How long after a guest has begun to end that may be heard.
const ENDING: Duration = Duration::from_secs(1);

/// A handle to an instance.
#[derive(Debug)]
pub struct InstanceHandle {
    name: InstanceName,
    commands: mpsc::UnboundedSender<Command>,
    view: watch::Receiver<View>,
}

impl InstanceHandle {
    pub(super) fn new(
        name: InstanceName,
        commands: mpsc::UnboundedSender<Command>,
        view: watch::Receiver<View>,
    ) -> Self {
        Self { name, commands, view }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Everything there is to know of it, as of now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Whether it is the owner with this end of the view that it leads to.
    pub(super) fn is_shown_by(&self, view: &watch::Sender<View>) -> bool {
        self.view.same_channel(&view.subscribe())
    }

    /// Its run, or the refusal that LXD gives where it does not run.
    pub fn running(&self) -> Result<Arc<Run>> {
        match &self.view.borrow().phase {
            Phase::Running(run) | Phase::Stopping(run) => Ok(run.clone()),
            Phase::Silent => Err(silent(self.name.as_str())),
            _ => Err(Error::invalid(format!(
                "Instance \"{}\" is not running: start it first",
                self.name
            ))),
        }
    }

    /// Its run, with an agent that can be asked: where the connection to it has just ended, once it is known
    /// what has become of the agent.
    pub async fn reachable(&self) -> Result<Arc<Run>> {
        let mut view = self.view.clone();
        let known = view.wait_for(|view| view.phase.run().is_none_or(|run| !run.link.has_ended()));
        // Else it is told by whoever asks the agent.
        let _ = tokio::time::timeout(RECONNECTING, known).await;
        self.running()
    }

    /// What is said where a program could not be started in `run`, whose guest had rebooted so often before. A
    /// guest that is just ending is the cause of many an error: `clone(2)` fails with ENOMEM in a pid
    /// namespace whose init ends.
    pub async fn cause_inside(&self, error: Error, run: &Run, reboots: u32) -> Error {
        if error.kind() != ErrorKind::Internal {
            return error;
        }
        let just = |what| Error::invalid(format!("Instance \"{}\" {what}: try again", self.name));
        let mut view = self.view.clone();
        let over =
            view.wait_for(|view| view.phase.run().is_none_or(|now| now.plan.run != run.plan.run));
        if tokio::time::timeout(ENDING, over).await.is_ok() {
            return self.running().err().unwrap_or_else(|| just("was just restarted"));
        }
        if run.observed().reboots != reboots {
            return just("has just rebooted");
        }
        if run.link.is_rebooting().await { just("is just rebooting") } else { error }
    }

    /// Whether its guest is gone by then.
    pub(super) async fn loses_guest_within(&self, patience: Duration) -> bool {
        let mut view = self.view.clone();
        let gone = view.wait_for(|view| !view.phase.has_guest());
        matches!(tokio::time::timeout(patience, gone).await, Ok(Ok(_)))
    }

    /// Starts it.
    pub async fn start(&self) -> Result<()> {
        self.ask(Command::Start).await
    }

    /// Starts it again, unless nobody wants that any more: see [`super::unfinished`].
    pub(super) async fn finish_restart(&self) -> Result<()> {
        self.ask(Command::FinishRestart).await
    }

    /// Stops it. An ephemeral instance is deleted then.
    pub async fn stop(&self, mode: StopMode) -> Result<()> {
        self.ask(|reply| Command::Stop(mode, reply)).await
    }

    /// Stops it and starts it.
    pub async fn restart(&self, mode: StopMode) -> Result<()> {
        self.ask(|reply| Command::Restart(mode, reply)).await
    }

    /// Waits until nothing is left to do of what was asked before: a forced stop is answered before
    /// what its guest has left is cleared up.
    pub async fn settled(&self) -> Result<()> {
        self.ask(Command::Settle).await
    }

    /// Deletes it. It must not run.
    pub async fn delete(&self) -> Result<()> {
        self.ask(Command::Delete).await
    }

    /// Changes its configuration, if the guard holds.
    pub async fn update(&self, update: Update, guard: IfMatch) -> Result<()> {
        self.ask(|reply| Command::Update(update, guard, reply)).await
    }

    /// A profile of it has changed: takes over what that means.
    pub async fn profiles_changed(&self) -> Result<()> {
        self.ask(Command::ProfilesChanged).await
    }

    /// Its volume is made, or could not be. One to be started has started when this returns.
    pub(super) async fn created(&self, outcome: Creation) -> Result<()> {
        self.ask(|reply| Command::Created(outcome, reply)).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command,
    ) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || not_found(self.name.as_str());
        self.commands.send(command(reply)).map_err(|_| gone())?;
        let interrupted = |_| Error::internal("the request was interrupted: see the daemon's log");
        answer.await.map_err(interrupted)?
    }
}

/// The refusal of a name that no instance has.
pub(super) fn not_found(name: &str) -> Error {
    Error::no_such("Instance", name, "sc list")
}
