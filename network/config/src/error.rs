//! Why a network's configuration was refused.

use sc_api::quoted;

/// A result whose error is a [`ConfigError`].
pub type Result<T, E = ConfigError> = std::result::Result<T, E>;

/// A refused configuration, which is always a wrong request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key that no network has.
    #[error("unknown network key {}{hint}", quoted(key))]
    UnknownKey {
        /// The key.
        key: String,
        /// ` (did you mean ...?)`, or where to look: what follows the key at once.
        hint: String,
    },
    /// A key that a list with a key a line, or a terminal, would show as another.
    #[error("network key {}: a key has no control characters", quoted(key))]
    ControlCharacter {
        /// The key.
        key: String,
    },
    /// A key that is known and not honoured.
    #[error("network key {} is not supported: {reason}", quoted(key))]
    UnsupportedKey {
        /// The key.
        key: String,
        /// Why not.
        reason: &'static str,
    },
    /// A value that its key does not take.
    #[error("invalid value {} of network key {}: {reason}", quoted(value), quoted(key))]
    InvalidValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that an interface cannot have.
    #[error("invalid network name {}: {reason}", quoted(name))]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text that is no hardware address.
    #[error("invalid hardware address {}", quoted(text))]
    InvalidMac {
        /// The text.
        text: String,
    },
}
