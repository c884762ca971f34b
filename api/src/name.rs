//! Validated names. A value of one of these types is safe as a file name, a path segment of the
//! API and a key of the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid {what} name: {reason}")]
pub struct NameError {
    what: &'static str,
    reason: String,
}

/// Declares one kind of name: a wrapper of text that `$check` has accepted.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(reason) => Err(NameError { what: $what, reason }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// An instance's name: a host name of up to 63 letters, digits and hyphens, neither a digit
    /// nor a hyphen first, no hyphen last.
    InstanceName,
    "instance",
    hostname
);
name_type!(
    /// A profile's name.
    ProfileName,
    "profile",
    object_name
);
name_type!(
    /// A storage pool's name.
    PoolName,
    "storage pool",
    object_name
);
name_type!(
    /// An image alias: parts of letters, digits and a few signs, with slashes between them.
    AliasName,
    "alias",
    alias_name
);
name_type!(
    /// A managed network's name, which is also its bridge's: at most 15 characters.
    NetworkName,
    "network",
    interface_name
);

fn hostname(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("Name must not be empty".into());
    }
    if text.len() > 63 {
        return Err(format!("Name must be 1-63 characters long, this one has {}", text.len()));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err("Name can only contain alphanumeric and hyphen characters".into());
    }
    let first = text.as_bytes()[0];
    if first.is_ascii_digit() || first == b'-' {
        return Err("Name must not start with a digit or a hyphen".into());
    }
    if text.ends_with('-') {
        return Err("Name must not end with a hyphen".into());
    }
    Ok(())
}

fn object_name(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 63 {
        return Err("Name must be 1-63 characters long".into());
    }
    if text.starts_with(['.', '-']) {
        return Err("Name must not start with a dot or a hyphen".into());
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
        Some(c) => Err(format!("Name must not contain {c:?}")),
        None => Ok(()),
    }
}

fn alias_name(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 255 {
        return Err("Name must be 1-255 characters long".into());
    }
    let sign = |c| matches!(c, '-' | '_' | '.' | '+' | ':' | '@' | '~' | '/');
    if let Some(c) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !sign(*c)) {
        return Err(format!("Name must not contain {c:?}"));
    }
    match text.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some(part) => Err(format!("Name must not have the part {part:?} between slashes")),
        None => Ok(()),
    }
}

fn interface_name(text: &str) -> Result<(), String> {
    if text.len() < 2 || text.len() > 15 {
        return Err("Name must be 2-15 characters long, as it names a network interface".into());
    }
    object_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_instance_names_are_accepted() {
        for name in ["web1", "A", "a-b", &"x".repeat(63)] {
            assert!(name.parse::<InstanceName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn instance_names_that_are_no_host_names_are_refused() {
        for name in ["", "1a", "-a", "a-", "a_b", "a/b", "..", "a.b", "ä", "a b", &"x".repeat(64)]
        {
            assert!(name.parse::<InstanceName>().is_err(), "{name}");
        }
    }

    #[test]
    fn names_that_walk_paths_are_refused_everywhere() {
        for name in ["..", ".hidden", "a/b", "a\0b", "a\nb", "-rf"] {
            assert!(name.parse::<ProfileName>().is_err(), "{name:?}");
            assert!(name.parse::<PoolName>().is_err(), "{name:?}");
            assert!(name.parse::<NetworkName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_alias_has_parts_between_slashes() {
        for name in ["bb", "debian/12/cloud", "a_b.c-d+e:f@g~h"] {
            assert!(name.parse::<AliasName>().is_ok(), "{name}");
        }
        for name in ["", "/", "a//b", "/a", "a/", "..", "a/../b", "a b", "a\0", "ä", "a?b", "a%2F"]
        {
            assert!(name.parse::<AliasName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_network_name_fits_an_interface() {
        assert!("scbr0".parse::<NetworkName>().is_ok());
        assert!("sixteencharslong".parse::<NetworkName>().is_err());
    }
}
