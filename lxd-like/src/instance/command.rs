//! What may be asked of an instance's owner.

use std::time::Duration;

use sc_store::IntentId;
use tokio::sync::oneshot;

use super::start::Wanted;
use super::stop::Left;
use super::update::Update;
use crate::error::Result;
use crate::etag::IfMatch;

/// How an instance is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ask its init, and wait this long.
    Orderly(Duration),
    /// Kill it.
    Force,
}

/// How a request is answered.
pub(super) type Reply = oneshot::Sender<Result<()>>;

/// What has become of a creation.
#[derive(Debug)]
pub(super) enum Creation {
    /// Its volume is made.
    Made,
    /// Its volume is made; with the start the creation is done. Nobody else's request comes in
    /// between.
    ToStart(Box<Wanted>),
    /// It failed, and nothing is left of it.
    TakenBack,
    /// It failed and could not be taken back; the journal's entries stay.
    Remains(IntentId, Option<Left>),
}

/// What is asked of the owner.
#[derive(Debug)]
pub(super) enum Command {
    Created(Creation, Reply),
    Start(Reply),
    /// Restart it if it is still to be, as an earlier daemon had begun to.
    FinishRestart(Reply),
    Stop(StopMode, Reply),
    Restart(StopMode, Reply),
    Delete(Reply),
    Update(Update, IfMatch, Reply),
    ProfilesChanged(Reply),
    /// Nothing; answered when what was asked before is done to its end.
    Settle(Reply),
}

impl Command {
    /// Where its answer goes.
    pub(super) fn into_reply(self) -> Reply {
        match self {
            Self::Created(_, reply)
            | Self::Start(reply)
            | Self::FinishRestart(reply)
            | Self::Stop(_, reply)
            | Self::Restart(_, reply)
            | Self::Delete(reply)
            | Self::Update(_, _, reply)
            | Self::ProfilesChanged(reply)
            | Self::Settle(reply) => reply,
        }
    }
}
