//! Why a configuration was refused.

use sc_api::ErrorKind;

/// A refused configuration. The text is for the user: key first, then what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such key, in LXD's words; `hint` is empty or a suggestion with a leading space.
    #[error("Unknown configuration key: {key}{hint}")]
    UnknownKey {
        /// The key.
        key: String,
        /// ` (did you mean ...?)`.
        hint: String,
    },
    /// LXD knows the key, this version does nothing for it.
    #[error("{key} is a known key that this version does not honour{why}: remove it")]
    NotHonoured {
        /// The key.
        key: String,
        /// Empty, or the reason in parentheses with a leading space.
        why: String,
    },
    /// The value does not fit the key.
    #[error("Invalid value {value:?} for {key}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Such keys belong to instances, not to profiles.
    #[error("{key}: {what} keys can only be set on instances")]
    InstanceOnly {
        /// The key.
        key: String,
        /// `volatile` or `image`.
        what: &'static str,
    },
    /// The key is the daemon's own record.
    #[error("{key} is kept by the daemon and cannot be changed")]
    DaemonOnly {
        /// The key.
        key: String,
    },
    /// A device is wrong.
    #[error("Device {device:?}: {reason}")]
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
    #[error("Profile {profile:?} is applied twice")]
    DuplicateProfile {
        /// The profile.
        profile: String,
    },
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
