//! The one decision: whether a configuration is allowed.

use sc_api::{ConfigMap, DeviceMap, quoted};

use crate::key::{self, Applies, Key, Status};
use crate::{Effective, Error, Layer, Settings, expand, volatile};

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
    for (at, profile) in profiles.iter().enumerate() {
        if profiles[..at].iter().any(|earlier| earlier.name == profile.name) {
            return Err(Error::DuplicateProfile { profile: profile.name.to_owned() });
        }
    }
    // An empty value is no value, but its key must be one.
    for name in own.config.keys() {
        known(name)?;
    }
    if let Origin::Client { before } = origin {
        volatile::check_client(before, &own.config)?;
        // One that is there may go on, and be taken away.
        refuse_control_characters(own.config.keys().filter(|name| !before.contains_key(*name)))?;
    }
    allow(&expand(profiles, own))
}

/// Decides whether a profile may hold these settings. It need not have a root disk.
///
/// # Errors
///
/// As [`check_instance`]; volatile and image keys are refused.
pub fn check_profile(config: &ConfigMap, devices: &DeviceMap) -> Result<(), Error> {
    for (name, what) in config.keys().flat_map(|name| [(name, "volatile"), (name, "image")]) {
        if name.strip_prefix(what).is_some_and(|rest| rest.starts_with('.')) {
            return Err(Error::InstanceOnly { key: name.clone(), what });
        }
    }
    for name in config.keys() {
        known(name)?;
    }
    refuse_control_characters(config.keys())?;
    let own = Settings { config: config.clone(), devices: devices.clone() };
    match allow(&expand(&[], &own)) {
        // Another profile, or the instance, brings the root disk.
        Ok(_) | Err(Error::NoRoot) => Ok(()),
        Err(err) => Err(err),
    }
}

/// A list with a key a line, or a terminal, would show another key.
fn refuse_control_characters<'a>(mut keys: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    match keys.find(|key| key.contains(char::is_control)) {
        None => Ok(()),
        Some(key) => Err(Error::UnknownKey {
            key: key.clone(),
            hint: ": a key has no control characters".to_owned(),
        }),
    }
}

/// Decides over a merged configuration: the one place through which every way in comes.
fn allow(expanded: &Settings) -> Result<Effective, Error> {
    for (name, value) in &expanded.config {
        check_key(name, value)?;
    }
    Effective::read(expanded)
}

/// The entry of a key, honoured or not.
///
/// # Errors
///
/// [`Error::UnknownKey`], with what was probably meant, or the command that lists the keys.
pub fn known(name: &str) -> Result<&'static Key, Error> {
    key::find(name).ok_or_else(|| {
        let hint = match key::suggestion(name) {
            Some(meant) => format!(" (did you mean {}?)", quoted(&meant)),
            None => ": see sc config set --help".to_owned(),
        };
        Error::UnknownKey { key: name.to_owned(), hint }
    })
}

fn check_key(name: &str, value: &str) -> Result<(), Error> {
    let key = known(name)?;
    if key.status == Status::Refused {
        let why = match key.applies {
            Applies::VirtualMachine => " (it is for virtual machines)".to_owned(),
            Applies::Any | Applies::Container => String::new(),
        };
        return Err(Error::NotHonoured { key: name.to_owned(), why });
    }
    key.kind.check(value).map_err(|reason| Error::Value {
        key: name.to_owned(),
        value: value.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests;
