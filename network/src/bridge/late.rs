//! Leases that dnsmasq still holds for devices that are gone, taken back in the background.
//!
//! dnsmasq hears of an end by a packet, and may miss it: its socket overflows when hundreds speak at once. So nobody
//! speaks in a burst, and whatever is in its file afterwards is told again.

use std::time::Duration;

use super::{Network, any};
use crate::dns::FileLease;
use crate::{Mac, Reservation};

/// When late leases of a device that is gone are looked for, each after the one before, and up to twice as long.
const LATE: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// How often strays are looked for, how long after one another, and the pause between two that are told.
const LOOKS: usize = 4;
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
const BETWEEN_STRAYS: Duration = Duration::from_millis(2);

/// What has become of a word to dnsmasq.
enum Told {
    Said,
    /// The network has no dnsmasq any more.
    NobodyThere,
}

impl Network {
    /// Looks again for leases of a device that is gone: on a busy machine the last request of its guest
    /// may be overtaken by our word that the lease is free, or that word be lost.
    pub(super) fn forget_late_leases(&self, gone: Reservation) {
        let network = self.clone();
        tokio::spawn(async move {
            for pause in LATE {
                // Of hundreds that go at once not all speak at once.
                tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>())).await;
                if network.holds(gone.mac) {
                    return;
                }
                let left = network.0.files.read_leases().unwrap_or_default();
                for lease in left.iter().filter(|lease| lease.mac == Some(gone.mac)) {
                    network.take_back(lease).await;
                }
            }
        });
    }

    /// Takes back the leases of devices that are no more: dnsmasq does not sync its file, and a power cut
    /// brings back what was in it before.
    pub(super) fn forget_strays(&self) {
        let network = self.clone();
        tokio::spawn(async move {
            // All of them: the file is empty for a moment whenever dnsmasq writes it.
            for _ in 0..LOOKS {
                let strays = network.strays();
                // One may have become somebody's since the look.
                for lease in strays.iter().filter(|lease| network.is_stray(lease)) {
                    if let Told::NobodyThere = network.take_back(lease).await {
                        return;
                    }
                    tokio::time::sleep(BETWEEN_STRAYS).await;
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        });
    }

    fn strays(&self) -> Vec<FileLease> {
        let mut left = self.0.files.read_leases().unwrap_or_default();
        left.retain(|lease| self.is_stray(lease));
        left
    }

    fn is_stray(&self, lease: &FileLease) -> bool {
        lease.mac.is_some_and(|mac| mac.is_generated() && !self.holds(mac))
    }

    /// Whether a device with this hardware address has a reservation.
    fn holds(&self, mac: Mac) -> bool {
        self.ipam().iter().any(|held| held.mac == mac)
    }

    async fn take_back(&self, lease: &FileLease) -> Told {
        let dns = self.0.dns.read().await;
        let Some(dnsmasq) = &*dns else { return Told::NobodyThere };
        let gateway = self.config().ipv4.map(|net| any(net.addr()));
        if let Err(error) = dnsmasq.forget_lease(lease, gateway).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(network = self.0.name, error, "forget a lease of who is gone");
        }
        Told::Said
    }
}
