//! What every part of the daemon is given: the managers, the store, and the host.

use std::sync::Arc;

use sc_store::{Journal, Steps, Store};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::event::Events;
use crate::host::Host;
use crate::instance::Instances;
use crate::manager::{Images, Networks, Pools, Profiles};
use crate::model::Intent;
use crate::operation::Operations;
use crate::paths::Paths;

/// A shared handle to the context.
pub type Ctx = Arc<Context>;

/// The daemon, as its parts see it.
pub struct Context {
    pub paths: Paths,
    pub host: Host,
    pub store: Store,
    pub journal: Journal<Intent>,
    /// Numbers the steps of every operation that touches the outside.
    pub steps: Steps,
    pub events: Events,
    pub operations: Operations,
    pub profiles: Profiles,
    pub images: Images,
    pub pools: Pools,
    pub networks: Networks,
    pub instances: Instances,
    /// Asks the daemon to end; see [`crate::daemon`].
    pub shutdown: Shutdown,
}

/// How the daemon is asked to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// End, and leave the guests as they are.
    pub leave: CancellationToken,
    /// Stop the guests, then end.
    pub stop_guests: CancellationToken,
}

/// Runs blocking work on a thread that may block.
pub async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::internal(format!("a worker ended early: {error}"))))
}
