//! Names that are safe as one component of a path: no separator, no `..`, nothing hidden.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The name of a volume in its pool: 1 to 128 letters, digits, hyphens, underscores and dots,
/// the first of them a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

/// An image's fingerprint: the 64 lower-case hexadecimal digits of a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl VolumeName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where the name could not be a single, visible component of a path.
    pub fn new(text: &str) -> Result<Self, Error> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if first && rest && text.len() <= 128 {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::Name { what: "volume", name: text.to_owned() })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Fingerprint {
    /// Checks a fingerprint.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where it is not 64 lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, Error> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && text.len() == 64 {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::Name { what: "image", name: text.to_owned() })
    }

    /// The fingerprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl From<&sc_api::InstanceName> for VolumeName {
    /// An instance's name is stricter than a volume's.
    fn from(name: &sc_api::InstanceName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_volume_names_are_accepted() {
        for name in ["web1", "0", "default_web1", "a.b-c", &"x".repeat(128)] {
            assert!(VolumeName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_are_no_single_visible_component_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "/", ".tmp-a", "-rf", "a\0", "a b", "ä"] {
            assert!(VolumeName::new(name).is_err(), "{name:?}");
        }
        assert!(VolumeName::new(&"x".repeat(129)).is_err());
    }

    #[test]
    fn a_fingerprint_is_a_sha256() {
        assert!(Fingerprint::new(&"0a".repeat(32)).is_ok());
        for text in ["", "abc", &"0A".repeat(32), &"..".repeat(32), &"0a".repeat(33)] {
            assert!(Fingerprint::new(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_name_stays_in_its_folder(text in "\\PC{0,140}") {
            if let Ok(name) = VolumeName::new(&text) {
                let path = std::path::Path::new("/pool").join(name.as_str());
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/pool")));
                prop_assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(name.as_str()));
            }
        }
    }
}
