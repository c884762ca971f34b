//! Configuration keys as the verbs read and write them.

use anyhow::{Result, bail};
use sc_api::ConfigMap;

use crate::output;

/// Prints the value of a key: an empty line where it is not set, an error where there is no such
/// key at all.
pub fn print(config: &ConfigMap, key: &str) -> Result<()> {
    match config.get(key) {
        Some(value) => output::line(value),
        None => {
            sc_profiles::known(key)?;
            output::line("")
        }
    }
}

/// As [`print`], of a device's keys.
pub fn print_of_device(device: &ConfigMap, key: &str) -> Result<()> {
    let kind = device.get("type").map_or("", String::as_str);
    let known = sc_profiles::device_kinds().iter().find(|known| known.name == kind);
    match (device.get(key), known) {
        (Some(value), _) => output::line(value),
        (None, Some(known)) if !known.keys.iter().any(|known| known.name == key) => {
            bail!("devices of type {kind} have no key {key:?}")
        }
        (None, _) => output::line(""),
    }
}

/// Sets configuration keys. An empty value removes its key, as LXD has it; the server does not see
/// that key, so it is here that it must be one.
pub fn set(config: &mut ConfigMap, settings: ConfigMap) -> Result<()> {
    for (key, value) in &settings {
        if value.is_empty() && !config.contains_key(key) {
            sc_profiles::known(key)?;
        }
    }
    merge(config, settings);
    Ok(())
}

/// Sets keys of any kind. An empty value removes its key.
pub fn merge(config: &mut ConfigMap, settings: ConfigMap) {
    for (key, value) in settings {
        match value.as_str() {
            "" => config.remove(&key),
            _ => config.insert(key, value),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_removes_its_key() {
        let map = |pairs: &[(&str, &str)]| -> ConfigMap {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let mut config = map(&[("user.a", "1"), ("user.b", "2")]);
        set(&mut config, map(&[("user.a", ""), ("user.c", "3"), ("user.d", "")])).unwrap();
        assert_eq!(config, map(&[("user.b", "2"), ("user.c", "3")]));
        assert!(set(&mut config, map(&[("no.key", "")])).is_err());
    }
}
