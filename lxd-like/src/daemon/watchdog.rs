//! Tells the service manager that the daemon is alive, where it wants to know: `WatchdogSec=` in
//! systemd.service(5).

use sd_notify::NotifyState;

use crate::instance::Instances;

/// Tells it from now on, as long as the runtime has tasks their turn and the registry can be read.
pub fn spawn(instances: Instances) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(patience / 3);
        loop {
            ticks.tick().await;
            instances.list();
            if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                tracing::warn!(%error, "tell the service manager that the daemon is alive");
            }
        }
    });
}
