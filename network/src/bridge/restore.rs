//! A bridge that somebody took away under the network, made again.

use std::sync::atomic::Ordering;

use super::{Network, place, put_outside};
use crate::{NetworkError, Result};

impl Network {
    /// Whether its bridge is there, the one that it was brought up with.
    pub async fn has_bridge(&self) -> Result<bool> {
        let found = place::find_own(&self.0.name, &self.0.files, &self.0.context).await?;
        Ok(found.is_some_and(|bridge| bridge.index == self.0.index.load(Ordering::Acquire)))
    }

    /// Brings the network up anew if its bridge is not there. Instances that were plugged into the old
    /// one are plugged into none until they start again.
    pub(super) async fn restore(&self) -> Result<()> {
        if self.has_bridge().await? {
            return Ok(());
        }
        let mut dns = self.0.dns.write().await;
        // Another may have done it meanwhile; or the network was deleted.
        if self.has_bridge().await? {
            return Ok(());
        }
        if !self.0.files.exist() {
            return Err(NetworkError::BridgeMissing { network: self.0.name.clone() });
        }
        tracing::warn!(network = self.0.name, "the bridge was taken away; making it again");
        // What fails below is begun anew by the next call.
        self.0.index.store(0, Ordering::Release);
        if let Some(dnsmasq) = dns.take() {
            dnsmasq.stop().await;
        }
        let (files, context) = (&self.0.files, &self.0.context);
        let made = place::Made::default();
        let (index, started) = put_outside(self.config(), files, context, &made).await?;
        *dns = started;
        self.0.index.store(index, Ordering::Release);
        Ok(())
    }
}
