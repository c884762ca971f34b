//! The one decision: whether a configuration is allowed.

use sc_api::{ConfigMap, DeviceMap};

use crate::{Effective, Error, Layer, Settings};

/// Who wants the configuration, which decides over `volatile.*`: the daemon's own records.
///
/// The daemon may write any known volatile key. A client may send back those that are there (it
/// reads an object, edits it and puts it whole), leave them out, which
/// [`keep_volatile`](crate::keep_volatile) makes good, and set the hardware address of a NIC
/// (`volatile.DEVICE.hwaddr`), as users of LXD do; every other change is refused.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// The daemon itself.
    Daemon,
    /// A client; with the instance's own configuration as it is, empty for a new instance.
    Client {
        /// The instance's own configuration before the change.
        before: &'a ConfigMap,
    },
}

/// Decides whether an instance may have these profiles and these settings of its own, and says
/// what they come to.
///
/// # Errors
///
/// The first key or device that is unknown, not honoured or wrong.
pub fn check_instance(
    profiles: &[Layer<'_>],
    own: &Settings,
    origin: Origin<'_>,
) -> Result<Effective, Error> {
    let _ = (profiles, own, origin);
    unreachable!("signature only")
}

/// Decides whether a profile may hold these settings. It need not have a root disk.
///
/// # Errors
///
/// As [`check_instance`]; volatile and image keys are refused.
pub fn check_profile(config: &ConfigMap, devices: &DeviceMap) -> Result<(), Error> {
    let _ = (config, devices);
    unreachable!("signature only")
}
