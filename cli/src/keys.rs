//! Configuration keys as the verbs read and write them.

use anyhow::{Result, bail};
use sc_api::ConfigMap;
use sc_profiles::{Key, Status};

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

/// Unsets a configuration key.
pub fn unset(config: &mut ConfigMap, key: &str) -> Result<()> {
    refuse_record(key)?;
    match config.remove(key) {
        Some(_) => Ok(()),
        None => bail!("the key {key:?} is not set"),
    }
}

/// Whether a key is one that the daemon keeps for itself.
pub fn is_record(key: &str) -> bool {
    key.starts_with("volatile.")
}

/// The server keeps its own records where they are left out.
fn refuse_record(key: &str) -> Result<()> {
    match is_record(key) {
        true => bail!("{key} is the daemon's own record: it cannot be unset"),
        false => Ok(()),
    }
}

/// Sets configuration keys. An empty value removes its key, as LXD has it; the server does not see
/// that key, so it is here that it must be one.
pub fn set(config: &mut ConfigMap, settings: ConfigMap) -> Result<()> {
    for (key, value) in &settings {
        if value.is_empty() {
            refuse_record(key)?;
            if !config.contains_key(key) {
                sc_profiles::known(key)?;
            }
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

/// The part of the help that lists the keys that can be set.
pub fn help() -> String {
    let set = |key: &&Key| {
        let record = ["volatile.", "image."].iter().any(|family| key.name.starts_with(family));
        key.status == Status::Honoured && !record
    };
    let lines = sc_profiles::keys().iter().filter(set);
    let lines = lines.map(|key| format!("  {:<29}  {}\n", key.name, key.text));
    String::from("Keys:\n") + &lines.collect::<String>()
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
        config = map(&[("volatile.uuid", "1")]);
        assert!(set(&mut config, map(&[("volatile.uuid", "")])).is_err());
        assert!(
            unset(&mut config, "volatile.uuid").unwrap_err().to_string().contains("own record")
        );
    }
}
