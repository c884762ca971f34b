//! `volatile.*`: what the daemon keeps in an instance's configuration for itself.

use sc_api::ConfigMap;

use crate::Error;

/// Carries the daemon's records over a replacement of the configuration: adds to `new` the
/// volatile keys of `old` that a client left out. Called before
/// [`check_instance`](crate::check_instance) for every replacement that comes from a client.
pub fn keep_volatile(old: &ConfigMap, new: &mut ConfigMap) {
    for (key, value) in old.iter().filter(|(key, _)| key.starts_with("volatile.")) {
        new.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// Refuses a client's change of the daemon's records.
///
/// Setting a NIC's hardware address is the exception, as it is in LXD's documentation.
pub(crate) fn check_client(before: &ConfigMap, new: &ConfigMap) -> Result<(), Error> {
    let changed = |(key, value): &(&String, &String)| {
        let kept = before.get(*key).map_or("", String::as_str);
        key.starts_with("volatile.") && kept != value.as_str()
    };
    let settable = |key: &str| {
        let device = key.strip_prefix("volatile.").and_then(|key| key.strip_suffix(".hwaddr"));
        device.is_some_and(|device| !device.is_empty() && !device.ends_with(".last_state"))
    };
    match new.iter().filter(changed).find(|(key, _)| !settable(key)) {
        Some((key, _)) => Err(Error::DaemonOnly { key: key.clone() }),
        None => Ok(()),
    }
}
