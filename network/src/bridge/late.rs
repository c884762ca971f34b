//! Leases that dnsmasq still holds for devices that are gone, taken back in the background.
//!
//! dnsmasq hears of an end by a packet, and may miss it: its socket overflows when hundreds speak at once. So nobody
//! speaks in a burst, and whatever is in its file afterwards is told again.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Network, any};
use crate::Mac;
use crate::dns::FileLease;

/// How long late leases of a device that is gone are looked for, and the pause between two looks.
const LATE: Duration = Duration::from_secs(180);
const BETWEEN_LATE_LOOKS: Duration = Duration::from_secs(2);

/// The hardware addresses of devices that have gone lately, and when they did.
pub(super) type Gone = HashMap<Mac, Instant>;

/// How often strays are looked for, and how long after one another.
const LOOKS: usize = 4;
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// The pause between two leases that dnsmasq is told of.
const BETWEEN_TWO: Duration = Duration::from_millis(2);

impl Network {
    /// Looks again for leases of a device that is gone: on a busy machine the last request of its guest
    /// may be overtaken by our word that the lease is free, or that word be lost. One of DHCPv6 is gone for
    /// good: dnsmasq is started anew without it.
    pub(super) fn forget_late_leases(&self, gone: Mac) {
        let mut all = self.gone();
        let somebody_looks = !all.is_empty();
        all.insert(gone, Instant::now());
        if somebody_looks {
            return;
        }
        let network = self.clone();
        tokio::spawn(async move {
            while network.waits_for_late_leases() {
                sleep(BETWEEN_LATE_LOOKS).await;
                network.take_back_each(|lease| network.is_late(lease)).await;
            }
        });
    }

    /// Whether there is still somebody to look for.
    fn waits_for_late_leases(&self) -> bool {
        let mut gone = self.gone();
        gone.retain(|mac, since| since.elapsed() < LATE && !self.holds(*mac));
        !gone.is_empty()
    }

    fn is_late(&self, lease: &FileLease) -> bool {
        lease.mac.is_some_and(|mac| self.gone().contains_key(&mac) && !self.holds(mac))
    }

    /// Takes back the leases of devices that are no more: dnsmasq does not sync its file, and a power cut
    /// brings back what was in it before.
    pub(super) fn forget_strays(&self) {
        let network = self.clone();
        tokio::spawn(async move {
            // All of them: the file is empty for a moment whenever dnsmasq writes it.
            for _ in 0..LOOKS {
                network.take_back_each(|lease| network.is_stray(lease)).await;
                sleep(BETWEEN_LOOKS).await;
            }
        });
    }

    /// Takes back what is in dnsmasq's file, one after another.
    async fn take_back_each(&self, to_go: impl Fn(&FileLease) -> bool) {
        let mut found = self.0.files.read_leases().unwrap_or_default();
        found.retain(&to_go);
        // One may have become somebody's since the look.
        for lease in found.iter().filter(|lease| to_go(lease)) {
            self.take_back(lease).await;
            sleep(BETWEEN_TWO).await;
        }
    }

    fn is_stray(&self, lease: &FileLease) -> bool {
        lease.mac.is_some_and(|mac| mac.is_generated() && !self.holds(mac))
    }

    /// Whether a device with this hardware address has a reservation.
    fn holds(&self, mac: Mac) -> bool {
        self.ipam().holds(mac)
    }

    fn gone(&self) -> MutexGuard<'_, Gone> {
        self.0.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_back(&self, lease: &FileLease) {
        let dns = self.0.dns.read().await;
        let Some(dnsmasq) = &*dns else { return };
        let gateway = self.config().ipv4.map(|net| any(net.addr()));
        if let Err(error) = dnsmasq.forget_lease(lease, gateway).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(network = self.0.name, error, "forget a lease of who is gone");
        }
    }
}
