//! `volatile.*`: what the daemon keeps in an instance's configuration for itself.

use sc_api::ConfigMap;

use crate::{Error, key};

/// Carries the daemon's records over a replacement of the configuration: adds to `new` the
/// volatile keys of `old` that a client left out. Called before
/// [`check_instance`](crate::check_instance) for every replacement that comes from a client.
pub fn keep_volatile(old: &ConfigMap, new: &mut ConfigMap) {
    for (key, value) in old.iter().filter(|(key, _)| key.starts_with("volatile.")) {
        new.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// Takes the records of another instance out of a new one's configuration, as it comes where somebody
/// gives what `config show` printed. Returns the keys, none where it has no such record.
///
/// With them go the hardware addresses, which are then the other's as well, and `image.*`, which tells
/// of the other's image. An address without such records was meant, and stays.
pub fn drop_records(new: &mut ConfigMap) -> Vec<String> {
    let known = |key: &str| key::find(key).is_some();
    let record = |key: &str| key.starts_with("volatile.") && known(key);
    if !new.keys().any(|key| record(key) && !settable(key)) {
        return Vec::new();
    }
    let dropped = new.extract_if(.., |key, _| record(key) || key.starts_with("image."));
    dropped.map(|(key, _)| key).collect()
}

/// Whether a client may set a volatile key.
fn settable(key: &str) -> bool {
    let device = key.strip_prefix("volatile.").and_then(|key| key.strip_suffix(".hwaddr"));
    device.is_some_and(|device| !device.is_empty() && !device.ends_with(".last_state"))
}

/// Refuses a client's change of the daemon's records.
///
/// Setting a NIC's hardware address is the exception, as it is in LXD's documentation.
pub(crate) fn check_client(before: &ConfigMap, new: &ConfigMap) -> Result<(), Error> {
    let changed = |(key, value): &(&String, &String)| {
        let kept = before.get(*key).map_or("", String::as_str);
        key.starts_with("volatile.") && kept != value.as_str()
    };
    match new.iter().filter(changed).find(|(key, _)| !settable(key)) {
        Some((key, _)) => Err(Error::DaemonOnly { key: key.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_instance_takes_over_no_record_of_another() {
        let config = |keys: &[&str]| -> ConfigMap {
            keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect()
        };
        let other =
            ["image.os", "volatile.eth0.hwaddr", "volatile.last_state.idmap", "volatile.uuid"];
        let mut shown = config(&other);
        shown.extend(config(&["user.a", "volatile.no.such.key"]));
        assert_eq!(drop_records(&mut shown), other);
        assert_eq!(shown, config(&["user.a", "volatile.no.such.key"]));
        let meant = config(&["image.os", "volatile.eth0.hwaddr"]);
        let mut new = meant.clone();
        assert!(drop_records(&mut new).is_empty() && new == meant);
    }
}
