//! The owner starts, stops and restarts its guest, and sees it end.

use sc_store::IntentId;
use tokio::sync::oneshot;

use super::stopping::{Restarting, Stopping, Then, answer, forced};
use super::{Owner, State};
use crate::error::{Error, Result};
use crate::instance::command::{Reply, StopMode};
use crate::instance::queue::Ask;
use crate::instance::run::Active;
use crate::instance::view::Phase;
use crate::instance::{config, start, stop};
use crate::model::Intent;

impl Owner {
    pub(super) async fn start(&mut self, creation: Option<IntentId>) -> Result<()> {
        self.admit(Ask::Start)?;
        self.show(Phase::Starting);
        match self.bring_up(creation).await {
            Ok(active) => {
                self.enter(State::Running(active));
                self.lifecycle("instance-started");
                make_room_for_neighbours(self.instances.count());
                Ok(())
            }
            Err(error) => {
                self.enter(State::Stopped);
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self, creation: Option<IntentId>) -> Result<Active> {
        self.clear_left().await?;
        let checked = config::of_record(&self.ctx, &self.record())?;
        self.hold_nics(&checked).await?;
        match start::start(&self.ctx, &self.record(), &checked, creation).await {
            Ok((active, record)) => {
                self.keep(record);
                Ok(active)
            }
            Err(failed) => {
                self.left = failed.left;
                Err(failed.error)
            }
        }
    }

    /// Clears up what an earlier run has left, if anything.
    pub(super) async fn clear_left(&mut self) -> Result<()> {
        let Some(left) = self.left.take() else { return Ok(()) };
        self.left = stop::clear_up_again(&self.ctx, left).await;
        match &self.left {
            None => Ok(()),
            Some(left) => {
                let why = left.why.chain();
                Err(Error::internal(format!("clear up what the last run has left: {why}")))
            }
        }
    }

    /// Stops it to start it again; a daemon that comes after a crash in between starts it, too.
    pub(super) async fn restart(&mut self, mode: StopMode, reply: Reply) {
        if let Err(error) = self.admit(forced(mode, Ask::Restart)) {
            return answer(reply, Err(error));
        }
        let instance = self.record().name.clone();
        let intent = match self.ctx.journal.begin(&Intent::Restart { instance }).await {
            Ok(intent) => intent,
            Err(error) => return answer(reply, Err(error.into())),
        };
        let steps = self.ctx.steps.operation("restart");
        if let Err(error) = steps.reach("intent") {
            self.restarted(intent).await;
            return answer(reply, Err(error.into()));
        }
        // The restart is answered when the start is: the stop's own waiter is a dummy.
        let (stopped, _) = oneshot::channel();
        self.stop(mode, Ask::Restart, Then::Start(Restarting { reply, intent, steps }), stopped)
            .await;
        if !matches!(self.state, State::Stopping(..)) {
            self.restarted(intent).await;
        }
    }

    /// The second half of a restart.
    async fn start_again(&mut self, restarting: Restarting) {
        let outcome = match restarting.steps.reach("stopped") {
            Ok(()) => self.start(None).await,
            Err(error) => Err(error.into()),
        };
        let outcome = outcome.and_then(|()| Ok(restarting.steps.reach("started")?));
        self.restarted(restarting.intent).await;
        answer(restarting.reply, outcome);
    }

    /// A restart has come to its end, one way or the other.
    async fn restarted(&self, intent: IntentId) {
        if let Err(error) = self.ctx.journal.clear(intent).await {
            tracing::error!(instance = %self.record().name, %error, "clear the entry of a restart");
        }
    }

    pub(super) async fn stop(&mut self, mode: StopMode, ask: Ask, then: Then, waiter: Reply) {
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

    pub(super) async fn give_up_stopping(&mut self) {
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
                if let Then::Start(restarting) = &stopping.then {
                    self.restarted(restarting.intent).await;
                }
                stopping.fail(&error);
            }
            other => self.state = other,
        }
    }

    /// The agent has gone, and with it the guest.
    pub(super) async fn ended(&mut self) {
        let (active, stopping) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running(active) => (active, None),
            State::Stopping(active, stopping) => (active, Some(stopping)),
            other => return self.state = other,
        };
        let restarting = stopping.as_ref().is_some_and(|s| matches!(s.then, Then::Start(..)));
        let (record, left) = stop::finish(&self.ctx, active, &self.record(), restarting).await;
        self.keep(record);
        self.left = left;
        self.enter(State::Stopped);
        self.lifecycle("instance-shutdown");
        let (waiters, then) = stopping.map_or((Vec::new(), Then::Rest), |s| (s.waiters, s.then));
        match then {
            Then::Start(restarting) => self.start_again(restarting).await,
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
}

/// Each guest costs entries in tables that all namespaces of the host share.
fn make_room_for_neighbours(guests: usize) {
    if let Err(error) = sc_network::sysctl::raise_neighbour_limits(guests) {
        tracing::warn!(%error, "raise the limits of the neighbour tables");
    }
}
