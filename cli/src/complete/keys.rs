//! Completing keys and types, from the tables by which the daemon reads them.

use clap_complete::engine::ArgValueCompleter;
use sc_profiles::{Key, Status};

use super::{Offered, fixed, word};
use crate::keys;

/// Completes names of configuration keys.
pub fn key_names() -> ArgValueCompleter {
    fixed(|| config_keys(|_| true, ""))
}

/// Completes configuration keys that can be set, with the `=` before their values.
pub fn settings() -> ArgValueCompleter {
    fixed(|| config_keys(|key| !keys::is_record(key.name), "="))
}

/// The keys that are honoured. Of a family it is the part that is sure.
fn config_keys(fits: fn(&Key) -> bool, end: &str) -> Vec<Offered> {
    let honoured = sc_profiles::keys().iter().filter(|key| key.status == Status::Honoured);
    honoured
        .filter(|key| fits(key))
        .map(|key| match key.name.split_once('*') {
            Some((head, _)) => (head.to_owned(), key.text.into()),
            None => (format!("{}{end}", key.name), key.text.into()),
        })
        .collect()
}

/// Completes keys of networks, with the `=` before their values.
pub fn network_settings() -> ArgValueCompleter {
    fixed(|| {
        let key = |key: &sc_network_config::Key| {
            let family = key.name.ends_with('.');
            let name = if family { key.name.to_owned() } else { format!("{}=", key.name) };
            (name, key.text.to_owned())
        };
        sc_network_config::honoured().map(key).collect()
    })
}

/// Completes keys of storage pools, with the `=` before their values.
pub fn pool_settings() -> ArgValueCompleter {
    let key = |(name, text): &(&str, &str)| (format!("{name}="), (*text).to_owned());
    fixed(move || sc_api::POOL_KEYS.iter().map(key).collect())
}

/// Completes storage drivers.
pub fn drivers() -> ArgValueCompleter {
    let driver = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    fixed(move || sc_api::POOL_DRIVERS.iter().map(driver).collect())
}

/// Completes types of devices.
pub fn device_types() -> ArgValueCompleter {
    fixed(|| {
        let kinds = sc_profiles::device_kinds().iter().filter(|kind| kind.honoured);
        kinds.map(|kind| (kind.name.to_owned(), kind.text.to_owned())).collect()
    })
}

/// Completes keys, with the `=` before their values, of devices of the type that stands at this place in the
/// command line.
pub fn device_settings_of(place: usize) -> ArgValueCompleter {
    fixed(move || device_keys(&word(place).unwrap_or_default(), "="))
}

/// The keys that devices of a type have, each with `end` behind it.
pub fn device_keys(device_type: &str, end: &str) -> Vec<Offered> {
    let kinds = sc_profiles::device_kinds().iter().filter(|kind| kind.name == device_type);
    let keys = kinds.flat_map(|kind| kind.keys).filter(|key| key.honoured);
    keys.map(|key| (format!("{}{end}", key.name), key.text.to_owned())).collect()
}
