//! The filters of `sc list`.

use anyhow::Result;
use sc_api::{Instance, InstanceType};

use crate::suggest;
use crate::usage::wrong;

/// One filter; all of a list must hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Filter {
    /// The name begins so.
    Prefix(String),
    /// The name is as this pattern with `*` and `?`.
    Pattern(String),
    /// This property has this value, in any case of letters.
    Property(Property, String),
    /// This configuration key has this value.
    Config(String, String),
}

/// A property that can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    Name,
    Status,
    Type,
    Architecture,
    Description,
    Ephemeral,
}

const PROPERTIES: &[(&str, Property)] = &[
    ("name", Property::Name),
    ("status", Property::Status),
    ("type", Property::Type),
    ("architecture", Property::Architecture),
    ("description", Property::Description),
    ("ephemeral", Property::Ephemeral),
];

impl Filter {
    /// Reads a filter.
    pub fn parse(word: &str) -> Result<Self> {
        match word.split_once('=') {
            None if word.contains(['*', '?']) => Ok(Self::Pattern(word.to_owned())),
            None => Ok(Self::Prefix(word.to_owned())),
            Some((key, value)) if key.contains('.') => {
                Ok(Self::Config(key.to_owned(), value.to_owned()))
            }
            Some((key, value)) => match PROPERTIES.iter().find(|(name, _)| *name == key) {
                Some((_, property)) => Ok(Self::Property(*property, value.to_lowercase())),
                None => Err(unknown(key)),
            },
        }
    }

    /// Whether an instance passes.
    pub fn accepts(&self, instance: &Instance) -> bool {
        match self {
            Self::Prefix(prefix) => instance.name.starts_with(prefix),
            Self::Pattern(pattern) => matches(pattern.as_bytes(), instance.name.as_bytes()),
            Self::Property(property, value) => property.of(instance).to_lowercase() == *value,
            Self::Config(key, value) => instance.expanded_config.get(key) == Some(value),
        }
    }
}

fn unknown(key: &str) -> anyhow::Error {
    let names: Vec<String> = PROPERTIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let text = format!(
        "nothing can be filtered by {key:?}; what can: {}, and configuration keys",
        names.join(", ")
    );
    wrong(match suggest::nearest(key, &names) {
        Some(meant) => format!("{text} ({})", suggest::question(meant)),
        None => text,
    })
}

impl Property {
    fn of(self, instance: &Instance) -> String {
        match self {
            Self::Name => instance.name.clone(),
            Self::Status => instance.status.clone(),
            Self::Architecture => instance.architecture.clone(),
            Self::Description => instance.description.clone(),
            Self::Ephemeral => instance.ephemeral.to_string(),
            Self::Type => match instance.instance_type {
                InstanceType::VirtualMachine => "virtual-machine".into(),
                InstanceType::Container | InstanceType::Unset => "container".into(),
            },
        }
    }
}

/// Whether a name is as a pattern. A `*` that fits is tried again one character further on, which
/// is enough, as a later `*` makes an earlier one's choice final.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((star_p, star_n)) => {
                    *star_n += 1;
                    (p, n) = (*star_p + 1, *star_n);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, fits) in [
            ("web*", "web1", true),
            ("*1", "web11", true),
            ("w?b*", "web", true),
            ("w?b", "web1", false),
            ("*a*b", "xaxab", true),
            ("*a*b", "xaxa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn filters_are_told_apart() {
        assert_eq!(Filter::parse("web").unwrap(), Filter::Prefix("web".into()));
        assert_eq!(
            Filter::parse("status=Running").unwrap(),
            Filter::Property(Property::Status, "running".into())
        );
        assert_eq!(Filter::parse("user.a=1").unwrap(), Filter::Config("user.a".into(), "1".into()));
        assert!(Filter::parse("size=1").unwrap_err().to_string().contains("\"size\""));
    }
}
