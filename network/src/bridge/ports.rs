//! A bridge that somebody took away under the network, made again, and what was plugged into it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::{Network, Outside, place, put_outside};
use crate::{NetworkError, Result};

impl Network {
    /// Whether its bridge is there, the one that it was brought up with.
    pub async fn has_bridge(&self) -> Result<bool> {
        let found = place::find_own(&self.0.name, &self.0.files, &self.0.context).await?;
        Ok(found.is_some_and(|bridge| bridge.index == self.index()))
    }

    /// Brings the network up anew if its bridge is not there.
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
        let outside = put_outside(&self.0.config, files, context, &made).await?;
        let Outside { index, dns: started, keeper } = outside;
        *dns = started;
        *self.0.keeper.lock().await = Some(keeper);
        self.plug_in_again(index).await?;
        self.0.index.store(index, Ordering::Release);
        Ok(())
    }

    /// Plugs the interfaces of running instances into the bridge that lost theirs. One that somebody has
    /// plugged in elsewhere stays there; one that cannot be plugged in keeps no other from it.
    pub(super) async fn plug_in_again(&self, bridge: u32) -> Result<()> {
        let ports = self.ports().clone();
        if ports.is_empty() {
            return Ok(());
        }
        let links = &self.0.context.links;
        for port in links.list().await? {
            if port.controller.is_some() || !ports.contains_key(&port.name) {
                continue;
            }
            match links.plug(port.index, &port.name, bridge).await {
                Ok(()) => {
                    tracing::info!(network = self.0.name, port = port.name, "plugged in again")
                }
                Err(error) if error.is_missing() => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(network = self.0.name, error, "plug a guest in again");
                }
            }
        }
        Ok(())
    }

    /// The bridge's index; 0 while the network is not whole.
    pub(super) fn index(&self) -> u32 {
        self.0.index.load(Ordering::Acquire)
    }

    /// The instance and device of each interface of a running instance, by its name on the host.
    pub(super) fn ports(&self) -> MutexGuard<'_, BTreeMap<String, (String, String)>> {
        self.0.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
