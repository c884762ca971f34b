//! `volatile.*`: what the daemon keeps in an instance's configuration for itself.

use sc_api::ConfigMap;

/// Carries the daemon's records over a replacement of the configuration: adds to `new` the
/// volatile keys of `old` that a client left out. Called before
/// [`check_instance`](crate::check_instance) for every replacement that comes from a client.
pub fn keep_volatile(old: &ConfigMap, new: &mut ConfigMap) {
    for (key, value) in old.iter().filter(|(key, _)| key.starts_with("volatile.")) {
        new.entry(key.clone()).or_insert_with(|| value.clone());
    }
}
