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
    match device.get(key) {
        Some(value) => output::line(value),
        None => {
            known_of_device(device, key)?;
            output::line("")
        }
    }
}

/// Refuses a key that devices of this one's type do not have.
pub fn known_of_device(device: &ConfigMap, key: &str) -> Result<()> {
    let kind = device.get("type").map_or("", String::as_str);
    match sc_profiles::device_kinds().iter().find(|known| known.name == kind) {
        Some(known) if key != "type" && known.key(key).is_none() => bail!(known.unknown(key)),
        _ => Ok(()),
    }
}

/// Unsets a configuration key.
pub fn unset(config: &mut ConfigMap, key: &str) -> Result<()> {
    refuse_record(key, "unset")?;
    match config.remove(key) {
        Some(_) => Ok(()),
        None => {
            sc_profiles::known(key)?;
            bail!("the key {key:?} is not set")
        }
    }
}

/// Whether a key is one that the daemon keeps for itself.
pub fn is_record(key: &str) -> bool {
    key.starts_with("volatile.")
}

/// The server keeps its own records where they are left out, or are of a while ago.
fn refuse_record(key: &str, verb: &str) -> Result<()> {
    match is_record(key) {
        true => bail!("{key} is the daemon's own record: it cannot be {verb}"),
        false => Ok(()),
    }
}

/// Sets configuration keys. An empty value removes its key, as LXD has it; the server does not see
/// that key, so it is here that it must be one.
pub fn set(config: &mut ConfigMap, settings: ConfigMap) -> Result<()> {
    for (key, value) in &settings {
        if value.is_empty() {
            refuse_record(key, "unset")?;
            if !config.contains_key(key) {
                sc_profiles::known(key)?;
            }
        } else if !key.ends_with(".hwaddr") {
            refuse_record(key, "set")?;
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

/// The part of the help that lists an instance's keys that can be set.
pub fn help() -> String {
    let set = |key: &&Key| {
        let record = ["volatile.", "image."].iter().any(|family| key.name.starts_with(family));
        key.status == Status::Honoured && !record
    };
    listed(sc_profiles::keys().iter().filter(set).map(|key| (key.name.to_owned(), key.text.into())))
}

/// The part of the help that lists a network's keys.
pub fn help_of_networks() -> String {
    listed(sc_network_config::honoured().map(|key| {
        let name = if key.name.ends_with('.') { format!("{}*", key.name) } else { key.name.into() };
        let default = match key.default {
            "" => String::new(),
            default => format!("; default {default}"),
        };
        (name, format!("{}{default}", key.text))
    }))
}

/// How wide the list is, whatever the terminal: what is wider would be wrapped without its indentation. Those of
/// 80 columns lose 7 to the margin of the manual's pages.
const WIDTH: usize = 73;

/// Keys, each with what it is.
fn listed(keys: impl Iterator<Item = (String, String)>) -> String {
    let margin = " ".repeat(33);
    let wrapping = textwrap::Options::new(WIDTH).subsequent_indent(&margin);
    keys.fold(String::from("Keys:\n"), |text, (name, about)| {
        text + &textwrap::fill(&format!("  {name:<29}  {about}"), &wrapping) + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_needs_no_wide_terminal() {
        for line in help().lines().chain(help_of_networks().lines()) {
            assert!(line.len() <= WIDTH && line == line.trim_end(), "{line}");
        }
    }

    #[test]
    fn a_mistyped_key_of_a_device_is_asked_about() {
        let disk = ConfigMap::from([("type".to_owned(), "disk".to_owned())]);
        let slip = print_of_device(&disk, "sorce").unwrap_err().to_string();
        assert!(slip.ends_with("(did you mean \"source\"?)"), "{slip}");
        assert!(
            known_of_device(&disk, "readonly").is_ok() && known_of_device(&disk, "type").is_ok()
        );
    }

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
        assert!(set(&mut config, map(&[("volatile.last_state.power", "x")])).is_err());
        assert!(set(&mut config, map(&[("volatile.eth0.hwaddr", "00:16:3e:00:00:01")])).is_ok());
        let slip = unset(&mut config, "limits.cup").unwrap_err().to_string();
        assert!(slip.contains("did you mean \"limits.cpu\"?"), "{slip}");
        assert!(
            unset(&mut config, "volatile.uuid").unwrap_err().to_string().contains("own record")
        );
    }
}
