//! What instances stand on: the store, the host, and the managers of everything else.

use std::sync::Arc;

use sc_store::{Journal, Steps, Store};
use tokio_util::sync::CancellationToken;

use crate::event::Events;
use crate::host::Host;
use crate::manager::{Images, Networks, Pools, Profiles, References};
use crate::model::Intent;
use crate::paths::Paths;

/// A shared handle to the context.
pub type Ctx = Arc<Context>;

/// What instances stand on.
pub struct Context {
    pub paths: Arc<Paths>,
    pub host: Arc<Host>,
    pub store: Store,
    pub journal: Journal<Intent>,
    /// Numbers the steps of every operation that touches the outside.
    pub steps: Steps,
    pub events: Events,
    pub profiles: Profiles,
    pub images: Images,
    pub pools: Pools,
    pub networks: Networks,
    /// Held by whoever comes to refer to a pool or network.
    pub references: References,
    /// Cancelled once the instances that start by themselves have been started.
    pub ready: CancellationToken,
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
