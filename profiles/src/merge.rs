//! How profiles and an instance's own settings come together: as LXD does it.
//!
//! Profiles apply in the order they are listed, the instance's own settings last. A later
//! configuration key replaces an earlier one; a later device replaces an earlier one of the same
//! name whole, its keys are not mixed. An empty value is the same as no key.

use sc_api::{ConfigMap, DeviceMap};

/// Configuration and devices as they are written in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Configuration keys.
    pub config: ConfigMap,
    /// Devices.
    pub devices: DeviceMap,
}

/// One profile, by name, as [`check_instance`](crate::check_instance) takes it.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The profile's name, for messages.
    pub name: &'a str,
    /// Its configuration keys.
    pub config: &'a ConfigMap,
    /// Its devices.
    pub devices: &'a DeviceMap,
}

/// Merges profiles in their order and the instance's own settings on top: what the API shows as
/// `expanded_config` and `expanded_devices`. Devices of type `none` are kept in the result, as
/// LXD shows them.
pub fn expand(profiles: &[Layer<'_>], own: &Settings) -> Settings {
    let mut merged = Settings::default();
    let layers = profiles.iter().map(|p| (p.config, p.devices));
    for (config, devices) in layers.chain([(&own.config, &own.devices)]) {
        let set = config.iter().filter(|(_, value)| !value.is_empty());
        merged.config.extend(set.map(|(key, value)| (key.clone(), value.clone())));
        for (name, device) in devices {
            let set = device.iter().filter(|(_, value)| !value.is_empty());
            let device = set.map(|(key, value)| (key.clone(), value.clone())).collect();
            merged.devices.insert(name.clone(), device);
        }
    }
    merged
}
