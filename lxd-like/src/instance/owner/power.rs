//! The owner starts, stops and restarts its guest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::stopping::{Restarting, Stopping, answer, forced};
use super::{Leftover, Owner, State};
use crate::error::{Error, Result, chain};
use crate::instance::command::{Reply, StopMode};
use crate::instance::config::Checked;
use crate::instance::queue::Ask;
use crate::instance::run::Active;
use crate::instance::start::{Begun, Wanted};
use crate::instance::view::Phase;
use crate::instance::{config, fit, start, stop};
use crate::model::Intent;

/// How long a guest may take to stop that was about to be restarted when the daemon died.
const RESTART_PATIENCE: Duration = Duration::from_secs(30);

/// How long an agent's answer to a stop is waited for.
const AGENT_AT_ONCE: Duration = Duration::from_secs(1);

impl Owner {
    pub(super) async fn start(&mut self, wanted: Wanted) -> Result<()> {
        if let Err(refusal) = self.may_start() {
            if let Some(begun) = wanted.begun {
                let run = begun.take_back(&self.ctx).await;
                self.leftover = Leftover { run, deletion: wanted.creation };
            }
            return Err(refusal);
        }
        self.show(Phase::Starting);
        match self.bring_up(wanted).await {
            Ok(active) => {
                self.enter(State::Running(active));
                self.lifecycle("instance-started");
                // Whatever was to start it: it has.
                self.forget_restarts().await;
                make_room_for_neighbours(self.instances.count());
                Ok(())
            }
            Err(failed) => {
                // A launch that fails is taken back; nobody starts it in between.
                self.leftover.deletion = failed.creation;
                self.leftover.run = failed.left;
                self.enter(State::Stopped);
                Err(failed.error)
            }
        }
    }

    fn may_start(&self) -> Result<()> {
        self.admit(Ask::Start)?;
        if self.ctx.shutdown.stop_guests.is_cancelled() {
            let text = "the daemon is stopping all guests: start it when the daemon is back";
            return Err(Error::new(sc_api::ErrorKind::Unavailable, text));
        }
        if self.leftover.deletion.is_some() {
            let name = &self.record().name;
            return Err(Error::conflict(format!(
                "instance {name} was to be deleted, which has failed: delete it again"
            )));
        }
        Ok(())
    }

    /// What would keep it from starting, as far as it can be known: it is not stopped for nothing.
    async fn check_start(&self) -> Result<()> {
        let record = self.record();
        let checked = config::of_record(&self.ctx, &record)?;
        let can = async {
            self.ctx.pools.get(record.pool.as_str())?;
            for nic in &checked.effective.nics {
                self.ctx.networks.of_device(&nic.device, &nic.network)?;
            }
            fit::check(&self.ctx, None, &checked.effective).await
        };
        can.await.map_err(|error| error.within(format!("restart instance {}", record.name)))
    }

    async fn bring_up(&mut self, mut wanted: Wanted) -> Result<Active, start::Failed> {
        match self.make_ready(&mut wanted.begun).await {
            Ok(checked) => {
                let expanded = Arc::new(checked.expanded.clone());
                self.view.send_modify(|view| view.expanded = expanded);
                let (active, record) =
                    start::start(&self.ctx, &self.record(), &checked, wanted).await?;
                self.keep(record);
                Ok(active)
            }
            Err(error) => {
                let left = match wanted.begun {
                    Some(begun) => begun.take_back(&self.ctx).await,
                    None => self.leftover.run.take(),
                };
                let error = error.within(format!("start instance {}", self.record().name));
                Err(start::Failed { error, left, creation: wanted.creation })
            }
        }
    }

    /// Sees to what a start presupposes. A run that was begun with another configuration, as a profile
    /// has changed meanwhile, is taken back.
    async fn make_ready(&mut self, begun: &mut Option<Begun>) -> Result<Checked> {
        let checked = config::of_record(&self.ctx, &self.record())?;
        if let Some(other) = begun.take_if(|begun| !begun.is_with(&checked.effective)) {
            self.leftover.run = other.take_back(&self.ctx).await;
        }
        if begun.is_none() {
            self.clear_left().await?;
            return self.hold_nics(checked).await;
        }
        Ok(checked)
    }

    /// Clears up what an earlier run has left, if anything.
    pub(super) async fn clear_left(&mut self) -> Result<()> {
        let Some(left) = self.leftover.run.take() else { return Ok(()) };
        self.leftover.run = stop::clear_up_again(&self.ctx, left, &self.record()).await;
        match &self.leftover.run {
            None => Ok(()),
            Some(left) => {
                let why = left.why.chain();
                Err(Error::internal(format!("clear up what the last run has left: {why}")))
            }
        }
    }

    /// Stops it to start it again; a daemon that comes after a crash in between starts it, too.
    pub(super) async fn restart(&mut self, mode: StopMode, reply: Reply) {
        let checked = self.admit(forced(mode, Ask::Restart));
        if let Err(error) = checked.and(self.check_start().await) {
            return answer(reply, Err(error));
        }
        let instance = self.record().name.clone();
        let intent = match self.ctx.journal.begin(&Intent::Restart { instance }).await {
            Ok(intent) => intent,
            Err(error) => return answer(reply, Err(error.into())),
        };
        let restarting = Restarting { reply, intent, steps: self.ctx.steps.operation("restart") };
        match restarting.steps.reach("intent") {
            Ok(()) => self.begin_stop(mode, None, Some(restarting)).await,
            Err(error) => self.conclude(vec![restarting], &Err(error.into())).await,
        }
    }

    /// Finishes the restart of an earlier daemon, unless somebody has started or stopped it since.
    pub(super) async fn finish_restart(&mut self, reply: Reply) {
        match &self.state {
            _ if !self.instances.unfinished().has(&self.record().name) => answer(reply, Ok(())),
            // Who stops it by now means that.
            State::Stopping(_, stopping) if !stopping.waiters.is_empty() => answer(reply, Ok(())),
            State::Running(_) | State::Stopping(..) => {
                self.restart(StopMode::Orderly(RESTART_PATIENCE), reply).await;
            }
            _ => answer(reply, self.start(Wanted::default()).await),
        }
    }

    pub(super) async fn stop(&mut self, mode: StopMode, waiter: Reply) {
        let waits = self.instances.unfinished().has(&self.record().name);
        if waits && matches!(self.state, State::Stopped) {
            // It was to be started again: who stops it wants it to stay as it is.
            let noted = self.note_stopped(&[]).await;
            self.delete_if_ephemeral().await;
            return answer(waiter, noted);
        }
        match self.admit(forced(mode, Ask::Stop)) {
            Ok(()) if matches!(self.state, State::Silent(_)) => {
                // First: an ephemeral one that is to be started again would stay.
                self.forget_restarts().await;
                self.gone().await;
                let left = self.leftover.run.as_ref();
                let failed = left.map(|left| {
                    let why = Error::new(left.why.kind(), left.why.chain());
                    why.within(format!("stop instance {}", self.record().name))
                });
                answer(waiter, failed.map_or(Ok(()), Err));
            }
            Ok(()) => self.begin_stop(mode, Some(waiter), None).await,
            Err(error) => answer(waiter, Err(error)),
        }
    }

    /// Asks the guest to stop, or kills it, as may be done now.
    async fn begin_stop(
        &mut self,
        mode: StopMode,
        waiter: Option<Reply>,
        restarting: Option<Restarting>,
    ) {
        let (active, mut stopping) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running(active) => (active, Stopping::new(mode)),
            State::Stopping(active, stopping) => (active, stopping),
            other => unreachable!("a stop is not admitted in {other:?}"),
        };
        let (mut cancelled, mut why) =
            (Vec::new(), Error::conflict("the instance was stopped by force meanwhile"));
        if mode == StopMode::Force {
            stopping.extend(stop::KILL_PATIENCE);
            if restarting.is_none() {
                // Who stops it by force while it restarts wants it to stay stopped.
                cancelled = std::mem::take(&mut stopping.restarts);
            }
        }
        stopping.waiters.extend(waiter);
        stopping.restarts.extend(restarting);
        match ask_to_stop(&active, mode).await {
            Ok(()) if mode == StopMode::Force => {
                let noted = match stopping.restarts.is_empty() {
                    true => self.note_stopped(&cancelled).await,
                    false => Ok(()),
                };
                stopping.killed();
                // Who stops an ephemeral one finds it gone, and its name free.
                if !self.record().ephemeral {
                    stopping.acknowledge(&noted);
                }
                self.enter(State::Stopping(active, stopping));
                self.show(Phase::Stopped);
            }
            Ok(()) => self.enter(State::Stopping(active, stopping)),
            Err(error) => {
                self.enter(State::Running(active));
                let error = error.within(format!("stop instance {}", self.record().name));
                why = Error::new(error.kind(), error.chain());
                self.stop_failed(stopping, error).await;
            }
        }
        self.conclude(cancelled, &Err(why)).await;
    }

    /// Writes down that the guest does not run, before anybody is told so, and that it is not to be started
    /// again: else it would be by a daemon that comes after a crash, or a power cut, behind the answer.
    pub(super) async fn note_stopped(&self, restarts: &[Restarting]) -> Result<()> {
        let record = stop::with_power(&self.record(), self.power_after(false));
        let mut done: BTreeSet<_> = restarts.iter().map(|restart| restart.intent).collect();
        // Those that are to be finished for an earlier daemon, too.
        done.extend(self.instances.unfinished().take(&record.name));
        let noted = stop::note(&self.ctx, &record, &done).await;
        if noted.is_err() {
            self.done(done).await;
        }
        self.keep(record);
        noted.map_err(|error| self.unnoted(error))
    }
}

/// An agent that does not answer at once may still have heard: whether the guest stops is seen by that, and a
/// forced stop behind this one is not kept waiting.
async fn ask_to_stop(active: &Active, mode: StopMode) -> Result<()> {
    match mode {
        StopMode::Orderly(_) => {
            timeout(AGENT_AT_ONCE, active.run.link.stop()).await.unwrap_or(Ok(()))
        }
        StopMode::Force => stop::kill(&active.run).await,
    }
}

/// Each guest costs entries in tables that all namespaces of the host share.
fn make_room_for_neighbours(guests: usize) {
    if let Err(error) = sc_network::sysctl::raise_neighbour_limits(guests) {
        tracing::warn!(error = chain(&error), "raise the limits of the neighbour tables");
    }
}
