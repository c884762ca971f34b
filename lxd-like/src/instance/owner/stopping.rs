//! A stop that is under way, and who waits for it.

use std::time::Duration;

use sc_store::{IntentId, OperationSteps};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::instance::command::{Reply, StopMode};
use crate::instance::queue::Ask;
use crate::instance::stop::KILL_PATIENCE;

/// How long an agent may take to tell that its guest, which was killed, is gone.
const AGENT_PATIENCE: Duration = Duration::from_secs(2);

/// A stop that is under way.
#[derive(Debug)]
pub(in crate::instance) struct Stopping {
    pub(super) deadline: Instant,
    pub(super) patience: Duration,
    pub(super) waiters: Vec<Reply>,
    /// Restarts that wait for it: when it has stopped it is started again.
    pub(super) restarts: Vec<Restarting>,
    /// Set when the guest was killed: what comes now waits until what is left is cleared up, instead of
    /// being refused.
    pub(super) killed: bool,
}

/// A restart that is under way.
#[derive(Debug)]
pub(in crate::instance) struct Restarting {
    /// Answered when it has started.
    pub(super) reply: Reply,
    /// The journal's entry, cleared then.
    pub(super) intent: IntentId,
    pub(super) steps: OperationSteps,
}

impl Stopping {
    /// A stop that begins now.
    pub(super) fn new(mode: StopMode) -> Self {
        let patience = match mode {
            StopMode::Orderly(patience) => patience,
            StopMode::Force => KILL_PATIENCE,
        };
        let deadline = deadline(patience);
        let (waiters, restarts) = (Vec::new(), Vec::new());
        Self { deadline, patience, waiters, restarts, killed: false }
    }

    /// Waits so long from now on.
    pub(super) fn extend(&mut self, patience: Duration) {
        self.patience = patience;
        self.deadline = deadline(patience);
    }

    /// The guest is dead, and an agent that does not say so is stopped or stuck.
    pub(super) fn killed(&mut self) {
        self.killed = true;
        self.extend(AGENT_PATIENCE);
    }

    /// Whoever waits for the stop is answered, also where it could not be noted.
    pub(super) fn acknowledge(&mut self, noted: &Result<()>) {
        for waiter in self.waiters.drain(..) {
            answer(waiter, again(noted));
        }
    }
}

/// Longer than anybody waits, and no time that a clock cannot hold.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience.min(FOREVER)
}

/// What a forced request asks.
pub(super) fn forced(mode: StopMode, ask: Ask) -> Ask {
    match (mode, ask) {
        (StopMode::Force, Ask::Stop) => Ask::ForceStop,
        (StopMode::Force, Ask::Restart) => Ask::ForceRestart,
        (_, ask) => ask,
    }
}

/// An outcome that several are told.
pub(super) fn again(outcome: &Result<()>) -> Result<()> {
    outcome.as_ref().copied().map_err(|error| Error::new(error.kind(), error.chain()))
}

/// Answers a request.
pub(super) fn answer(reply: Reply, outcome: Result<()>) {
    // Whoever asked may have gone; what was asked is done all the same.
    let _ = reply.send(outcome);
}
