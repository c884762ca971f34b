//! How a run ends: of itself, when it was asked to, or with its agent; and what comes after.

use std::collections::BTreeSet;
use std::io::Write;

use sc_api::Timestamp;
use sc_store::IntentId;

use super::stopping::{Restarting, Stopping, again, answer};
use super::{Owner, State};
use crate::error::{Error, Result};
use crate::instance::queue::silent;
use crate::instance::run::Active;
use crate::instance::seek::Search;
use crate::instance::start::Wanted;
use crate::instance::{recover, stop};
use crate::model::RunPlan;

impl Owner {
    /// What is kept of a guest that has ended: what was running when the host went down is started again
    /// when it comes up.
    pub(super) fn power_after(&self, restarting: bool) -> &'static str {
        let stopping_host = self.ctx.shutdown.stop_guests.is_cancelled();
        if restarting || stopping_host { "RUNNING" } else { "STOPPED" }
    }

    /// Answers everyone who waits for a stop that has failed.
    pub(super) async fn stop_failed(&self, stopping: Stopping, error: Error) {
        for waiter in stopping.waiters {
            answer(waiter, Err(Error::new(error.kind(), error.chain())));
        }
        self.conclude(stopping.restarts, &Err(error)).await;
    }

    /// Restarts have come to their end, one way or the other.
    pub(super) async fn conclude(&self, restarts: Vec<Restarting>, outcome: &Result<()>) {
        for Restarting { reply, intent, .. } in restarts {
            self.ctx.done(intent).await;
            answer(reply, again(outcome));
        }
    }

    /// The daemon ends, and nobody waits for a guest any longer that stops in its own time. It goes on
    /// stopping; a restart, whose entry in the journal stays, is finished by the next daemon.
    pub(super) fn leave_off_stopping(&mut self) {
        let State::Stopping(active, stopping) = std::mem::replace(&mut self.state, State::Stopped)
        else {
            return;
        };
        let ending = |what| {
            Error::new(sc_api::ErrorKind::Unavailable, format!("the daemon is ending: {what}"))
        };
        for waiter in stopping.waiters {
            answer(waiter, Err(ending("the guest goes on stopping")));
        }
        for Restarting { reply, intent, .. } in stopping.restarts {
            self.instances.unfinished().leave(&self.record().name, intent);
            answer(reply, Err(ending("the next one finishes the restart")));
        }
        self.enter(State::Running(active));
    }

    /// The time for a stop is over.
    pub(super) async fn give_up_stopping(&mut self) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            // The guest is dead; only its agent does not say so.
            State::Stopping(active, stopping) if stopping.killed => {
                self.state = State::Stopping(active, stopping);
                self.ended().await;
            }
            State::Stopping(active, stopping) => {
                let error = Error::new(
                    sc_api::ErrorKind::Unavailable,
                    format!(
                        "Failed shutting down instance, status is \"Running\": it did not stop \
                         within {} s: wait longer (--timeout) or kill it (--force)",
                        stopping.patience.as_secs()
                    ),
                );
                self.enter(State::Running(active));
                self.stop_failed(stopping, error).await;
            }
            other => self.state = other,
        }
    }

    /// The connection to the agent has ended: it has gone, or a fault of either side broke the connection
    /// alone. Then its guest goes on, and so does a stop that is under way.
    pub(super) async fn lost_agent(&mut self) {
        let active = match &mut self.state {
            State::Running(active) => active,
            State::Stopping(active, stopping) if !stopping.killed => active,
            // Its guest was killed.
            _ => return self.ended().await,
        };
        let (plan, told) = (active.run.plan.clone(), active.exit.is_some());
        match Search::begin(&self.ctx, active.intent, plan).end_at_once().await {
            Ok(None) => {
                if !told {
                    self.note_dead_agent();
                }
                self.ended().await;
            }
            Ok(Some(again)) => {
                tracing::warn!(instance = %again.run.plan.instance,
                    "the connection to an agent was broken: made anew");
                *active = again;
                let state = std::mem::replace(&mut self.state, State::Stopped);
                self.enter(state);
            }
            Err(search) => {
                let before = std::mem::replace(&mut self.state, State::Stopped);
                self.enter(State::Silent(search));
                if let State::Stopping(_, stopping) = before {
                    self.stop_failed(stopping, silent(self.record().name.as_str())).await;
                }
            }
        }
    }

    /// An agent that was killed has not said how its guest ended.
    fn note_dead_agent(&self) {
        let name = &self.record().name;
        let what = "its agent has gone without a word, as when it is killed, and the guest with it";
        tracing::warn!(instance = %name, "{what}");
        let line = format!("{} {what}\n", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"));
        let log = self.ctx.paths.agent_log(name.as_str());
        // Nobody waits for a disk that may hang.
        tokio::task::spawn_blocking(move || {
            let opened = std::fs::File::options().append(true).open(&log);
            if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
                tracing::warn!(%error, log = %log.display(), "note the end of an agent");
            }
        });
    }

    /// A search for the run has come to its end.
    pub(super) async fn found(&mut self, found: Option<Active>) {
        match found {
            None => self.gone().await,
            Some(active) => {
                let record = recover::resume(&self.ctx, &self.record(), &active).await;
                self.keep(record);
                self.enter(State::Running(active));
            }
        }
    }

    /// The guest of an agent that was silent has ended, or is to end now.
    pub(super) async fn gone(&mut self) {
        if let State::Silent(search) = std::mem::replace(&mut self.state, State::Stopped) {
            let (plan, intent) = (search.plan.clone(), search.intent);
            // Else it might find the run, and hold its ids, while that is cleared up.
            drop(search);
            let _noted = self.clear_up(plan, intent, false).await;
            self.delete_if_ephemeral().await;
        }
    }

    /// The agent has gone, and with it the guest.
    pub(super) async fn ended(&mut self) {
        let (active, waiters, restarts) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running(active) => (active, Vec::new(), Vec::new()),
            State::Stopping(active, stopping) => (active, stopping.waiters, stopping.restarts),
            other => return self.state = other,
        };
        let restarting = !restarts.is_empty();
        tracing::info!(instance = %self.record().name, exit = ?active.exit, "instance has stopped");
        let mut noted = self.clear_up(active.run.plan.clone(), active.intent, restarting).await;
        if restarting {
            let outcome = self.start_again(&restarts).await;
            if outcome.is_err() {
                if let Err(error) = self.note_stopped(&restarts).await {
                    tracing::error!(instance = %self.record().name, error = %error.chain(), "a failed restart");
                }
                self.delete_if_ephemeral().await;
            }
            self.conclude(restarts, &outcome).await;
        } else if !waiters.is_empty() && self.instances.unfinished().has(&self.record().name) {
            // Who stops it wants it to stay so.
            noted = noted.and(self.note_stopped(&[]).await);
        }
        if !restarting && self.delete_if_ephemeral().await {
            // With it went what would have it started again.
            noted = Ok(());
        }
        for waiter in waiters {
            answer(waiter, again(&noted));
        }
    }

    /// Clears up after a run whose guest has ended. An error says that this could not be written down.
    async fn clear_up(&mut self, plan: RunPlan, intent: IntentId, restarting: bool) -> Result<()> {
        let record = stop::with_power(&self.record(), self.power_after(restarting));
        let (left, noted) = stop::finish(&self.ctx, plan, intent, &record).await;
        self.leftover.run = left;
        self.keep(record);
        self.enter(State::Stopped);
        self.lifecycle("instance-shutdown");
        noted.map_err(|error| self.unnoted(error))
    }

    pub(super) fn unnoted(&self, error: Error) -> Error {
        let name = &self.record().name;
        error.within(format!(
            "instance {name} has stopped, but a daemon that comes after a crash may start it again, since that \
             could not be written down: see to the disk of the daemon's database"
        ))
    }

    /// Forgets restarts that were to be finished.
    pub(super) async fn forget_restarts(&self) {
        self.done(self.instances.unfinished().take(&self.record().name)).await;
    }

    /// Nothing is left to be done of these.
    pub(super) async fn done(&self, intents: BTreeSet<IntentId>) {
        for intent in intents {
            self.ctx.done(intent).await;
        }
    }

    /// Whether it was and is deleted. One that is to be started again is not.
    pub(super) async fn delete_if_ephemeral(&mut self) -> bool {
        let record = self.record();
        if !record.ephemeral || self.instances.unfinished().has(&record.name) {
            return false;
        }
        let deleted = self.delete().await;
        if let Err(error) = &deleted {
            tracing::error!(instance = %self.record().name, error = %error.chain(),
                "an ephemeral instance could not be deleted");
        }
        deleted.is_ok()
    }

    /// The second half of a restart.
    async fn start_again(&mut self, restarts: &[Restarting]) -> Result<()> {
        let reach = |step: &str| restarts.iter().try_for_each(|one| one.steps.reach(step));
        reach("stopped")?;
        self.start(Wanted::default()).await?;
        Ok(reach("started")?)
    }
}
