//! What instances stand on: the store, the host, and the managers of everything else.

use std::sync::Arc;

use sc_api::DeviceMap;
use sc_store::{IntentId, Journal, Steps, Store};
use tokio_util::sync::CancellationToken;

use crate::error::{Result, chain};
use crate::event::Events;
use crate::host::Host;
use crate::manager::{Held, Images, Networks, Pools, Profiles, References};
use crate::model::Intent;
use crate::paths::Paths;
use crate::proven::Proven;

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
    pub images: Arc<Images>,
    pub pools: Pools,
    pub networks: Networks,
    /// Held by whoever comes to refer to a pool or network.
    pub references: References,
    /// What was seen to come up.
    pub proven: Proven,
    /// Cancelled once the instances that start by themselves have been started, but for those whose pool does
    /// not answer.
    pub ready: CancellationToken,
    /// Asks the daemon to end; see [`crate::daemon`].
    pub shutdown: Shutdown,
}

impl Context {
    /// Clears an entry of the journal of which nothing is left to be done. Where that fails it is logged,
    /// and cleared with the next.
    pub async fn done(&self, intent: IntentId) {
        if let Err(error) = self.journal.done(intent).await {
            tracing::error!(%intent, error = chain(&error), "clear what is done from the journal");
        }
    }

    /// Lets stay there what a profile's devices name. Those that it names anew must be there; what
    /// was there when it was named may be away for a while.
    pub async fn hold_named(&self, before: &DeviceMap, after: &DeviceMap) -> Result<Held> {
        let held = self.references.hold().await;
        for (device, keys) in after {
            let named = |key: &str| {
                let known = before.get(device).and_then(|before| before.get(key));
                keys.get(key).filter(|name| known != Some(name))
            };
            if let Some(network) = named("network") {
                self.networks.of_device(device, network)?;
            }
            if let Some(pool) = named("pool") {
                self.pools.of_device(device, pool)?;
            }
        }
        Ok(held)
    }
}

/// How the daemon is asked to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// End, and leave the guests as they are.
    pub leave: CancellationToken,
    /// Stop the guests, then end.
    pub stop_guests: CancellationToken,
}
