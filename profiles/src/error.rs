//! Why a configuration was refused.

use sc_api::{ErrorKind, plain, quoted};

/// A refused configuration. The text is for the user: key first, then what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such key, in LXD's words.
    #[error("Unknown configuration key: {}{hint}", name(key))]
    UnknownKey {
        /// The key.
        key: String,
        /// ` (did you mean ...?)`, or where to look: what follows the key at once.
        hint: String,
    },
    /// LXD knows the key, this version does nothing for it.
    #[error("{} is a known key that this version does not honour{why}: remove it", name(key))]
    NotHonoured {
        /// The key.
        key: String,
        /// Empty, or the reason in parentheses with a leading space.
        why: String,
    },
    /// The value does not fit the key.
    #[error("Invalid value {} for {}: {reason}", quoted(value), name(key))]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Such keys belong to instances, not to profiles.
    #[error("{}: {what} keys can only be set on instances", name(key))]
    InstanceOnly {
        /// The key.
        key: String,
        /// `volatile` or `image`.
        what: &'static str,
    },
    /// The key is the daemon's own record.
    #[error("{} is kept by the daemon and cannot be changed", name(key))]
    DaemonOnly {
        /// The key.
        key: String,
    },
    /// A device is wrong.
    #[error("Device {}: {reason}", quoted(device))]
    Device {
        /// The device's name.
        device: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No disk device has path `/`.
    #[error("No root device could be found: add a disk device with path=/ and pool=POOL")]
    NoRoot,
    /// An expanded configuration was asked for with a profile that does not exist twice or more.
    #[error("Profile {} is applied twice", quoted(profile))]
    DuplicateProfile {
        /// The profile.
        profile: String,
    },
}

/// A key, which anyone may have made up, as it stands in a sentence.
fn name(key: &str) -> String {
    plain(key, 160)
}

impl Error {
    /// What kind of failure it is: always a wrong request.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::DaemonOnly { .. } => ErrorKind::Forbidden,
            _ => ErrorKind::Invalid,
        }
    }
}
