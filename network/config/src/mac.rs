//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// An Ethernet hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The prefix of the addresses that are made here, which LXD and Incus use too.
    const PREFIX: [u8; 3] = [0x00, 0x16, 0x3e];

    /// Makes a random address under the prefix 00:16:3e.
    pub fn random() -> Self {
        let [x, y, z] = Self::PREFIX;
        let [a, b, c] = rand::random();
        Self([x, y, z, a, b, c])
    }

    /// Whether it may have been made by [`random`](Self::random).
    pub fn is_generated(&self) -> bool {
        self.0.starts_with(&Self::PREFIX)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::InvalidMac { text: text.to_owned() };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        // The lowest bit of the first byte marks a group: no interface may have such an address.
        if parts.next().is_some() || bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_address_reads_back_and_has_the_known_prefix() {
        let mac = Mac::random();
        assert!(mac.to_string().starts_with("00:16:3e:"));
        assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
    }

    #[test]
    fn malformed_and_group_addresses_are_refused() {
        for text in [
            "",
            "00:16:3e",
            "00:16:3e:00:00:0g",
            "00:16:3e:00:00:+1",
            "00:16:3e:00:00:00:00",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "0:16:3e:0:0:1",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
