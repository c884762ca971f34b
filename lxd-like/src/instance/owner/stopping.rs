//! A stop that is under way, and who waits for it.

use std::time::Duration;

use sc_store::{IntentId, OperationSteps};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::instance::command::{Reply, StopMode};
use crate::instance::queue::Ask;
use crate::instance::stop::KILL_PATIENCE;

/// A stop that is under way.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) deadline: Instant,
    pub(super) patience: Duration,
    pub(super) waiters: Vec<Reply>,
    pub(super) then: Then,
    /// Set when the guest was killed and the stop is answered: what comes now waits until what is
    /// left is cleared up, instead of being refused.
    pub(super) acknowledged: bool,
}

/// What follows a stop.
#[derive(Debug)]
pub(super) enum Then {
    Rest,
    /// Start it again.
    Start(Restarting),
}

/// A restart that is under way.
#[derive(Debug)]
pub(super) struct Restarting {
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
        let deadline = Instant::now() + patience;
        Self { deadline, patience, waiters: Vec::new(), then: Then::Rest, acknowledged: false }
    }

    /// Waits so long from now on.
    pub(super) fn extend(&mut self, patience: Duration) {
        self.patience = patience;
        self.deadline = Instant::now() + patience;
    }

    /// Tells everyone who waits that the stop has failed.
    pub(super) fn fail(self, error: &Error) {
        let again = || Error::new(error.kind(), error.chain());
        for waiter in self.waiters {
            answer(waiter, Err(again()));
        }
        if let Then::Start(restarting) = self.then {
            answer(restarting.reply, Err(again()));
        }
    }
}

/// What a forced request asks.
pub(super) fn forced(mode: StopMode, ask: Ask) -> Ask {
    match (mode, ask) {
        (StopMode::Force, Ask::Stop) => Ask::ForceStop,
        (StopMode::Force, Ask::Restart) => Ask::ForceRestart,
        (_, ask) => ask,
    }
}

/// Answers a request.
pub(super) fn answer(reply: Reply, outcome: Result<()>) {
    // Whoever asked may have gone; what was asked is done all the same.
    let _ = reply.send(outcome);
}
