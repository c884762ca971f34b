//! What a list of instances is to fill in: our own addition to LXD's lists, for clients that show a
//! few columns of many instances.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// The parts of an instance that cost something; those that are not asked for are empty. Written as a
/// comma-separated list: `config,network`. Everything else of an instance is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InstanceParts {
    /// `config`: its configuration and devices, expanded and not.
    pub config: bool,
    /// `network`: its state's interfaces.
    pub network: bool,
    /// `usage`: its state's memory, processor time and number of processes.
    pub usage: bool,
}

impl InstanceParts {
    /// All, as without a word of it.
    pub const ALL: Self = Self { config: true, network: true, usage: true };
    const CONFIG: &str = "config";
    const NETWORK: &str = "network";
    const USAGE: &str = "usage";

    /// What either asks for.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            config: self.config || other.config,
            network: self.network || other.network,
            usage: self.usage || other.usage,
        }
    }
}

impl fmt::Display for InstanceParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            [(self.config, Self::CONFIG), (self.network, Self::NETWORK), (self.usage, Self::USAGE)];
        let asked: Vec<&str> =
            all.iter().filter(|(asked, _)| *asked).map(|(_, name)| *name).collect();
        f.write_str(&asked.join(","))
    }
}

impl FromStr for InstanceParts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                Self::CONFIG => parts.config = true,
                Self::NETWORK => parts.network = true,
                Self::USAGE => parts.usage = true,
                other => return Err(format!("{other:?} is none of config, network and usage")),
            }
        }
        Ok(parts)
    }
}

impl<'de> Deserialize<'de> for InstanceParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for bits in 0..8 {
            let parts = InstanceParts {
                config: bits & 1 != 0,
                network: bits & 2 != 0,
                usage: bits & 4 != 0,
            };
            assert_eq!(parts.to_string().parse(), Ok(parts));
        }
        assert!("config,state".parse::<InstanceParts>().unwrap_err().contains("\"state\""));
    }
}
