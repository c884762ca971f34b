//! Configuration keys: what is known of each, finding one, and what was probably meant.

use sc_api::nearest;

use crate::table::KEYS;
use crate::value::Kind;

/// When a change takes effect on a running instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At once.
    Live,
    /// With the next `exec` and the next start.
    Exec,
    /// With the next start.
    Restart,
}

/// Which instances a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// All.
    Any,
    /// Containers.
    Container,
    /// Virtual machines, which are out of scope.
    VirtualMachine,
}

/// Whether a key does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Honoured,
    /// It is known, and refused.
    Refused,
}

/// One key, or a family of them.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name. A `*` stands for any text that is not empty: `environment.*`,
    /// `volatile.*.hwaddr`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What holds where it is not set; empty for nothing.
    pub default: &'static str,
    /// When a change takes effect.
    pub scope: Scope,
    /// Which instances it is for.
    pub applies: Applies,
    /// Whether it is honoured.
    pub status: Status,
    /// What it does, in one clause.
    pub text: &'static str,
}

/// The whole table, in the order of the documentation.
pub fn keys() -> &'static [Key] {
    KEYS
}

/// The entry for a key as a user writes it: the exact name, else the family that spells out most
/// of it.
pub fn find(name: &str) -> Option<&'static Key> {
    let matching = KEYS.iter().filter(|key| key.matches(name));
    matching.max_by_key(|key| (!key.is_family(), key.name.len()))
}

impl Key {
    /// Whether the entry stands for a family.
    pub fn is_family(&self) -> bool {
        self.name.contains('*')
    }

    fn matches(&self, name: &str) -> bool {
        match self.name.split_once('*') {
            None => self.name == name,
            Some((head, tail)) => {
                name.len() > head.len() + tail.len()
                    && name.starts_with(head)
                    && name.ends_with(tail)
            }
        }
    }
}

/// What was probably meant by a key that is not known.
pub(crate) fn suggestion(name: &str) -> Option<String> {
    nearest(name, KEYS.iter().filter_map(|key| spelled(key, name)))
}

/// An entry as a correction of a key: its name, or a family's head with the key's own rest.
fn spelled(key: &Key, name: &str) -> Option<String> {
    match key.name.strip_suffix(".*") {
        None if key.is_family() => None,
        None => Some(key.name.to_owned()),
        Some(head) => {
            let parts = head.split('.').count();
            let rest: Vec<_> = name.split('.').skip(parts).collect();
            let rest = rest.join(".");
            (!rest.is_empty()).then(|| format!("{head}.{rest}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_key_is_listed_twice() {
        let names: HashSet<_> = keys().iter().map(|key| key.name).collect();
        assert_eq!(names.len(), keys().len());
    }

    #[test]
    fn every_default_is_a_value_of_its_key() {
        for key in keys().iter().filter(|key| !key.default.is_empty()) {
            assert_eq!(key.kind.check(key.default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn the_most_exact_entry_is_found() {
        for (name, entry) in [
            ("limits.memory", "limits.memory"),
            ("environment.HTTP_PROXY", "environment.*"),
            ("user.user-data", "user.user-data"),
            ("user.comment", "user.*"),
            ("volatile.eth0.hwaddr", "volatile.*.hwaddr"),
            ("volatile.eth0.last_state.hwaddr", "volatile.*.last_state.hwaddr"),
            ("volatile.idmap.base", "volatile.idmap.base"),
            ("limits.kernel.nofile", "limits.kernel.*"),
        ] {
            assert_eq!(find(name).map(|key| key.name), Some(entry), "{name}");
        }
        for name in ["", "limits", "user.", "environment.", "volatile.x", "volatile..hwaddr", "*"] {
            assert!(find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_near_miss_is_told_what_was_meant() {
        for (name, meant) in [
            ("limits.memroy", Some("limits.memory")),
            ("limit.cpu", Some("limits.cpu")),
            ("boot.autostrat", Some("boot.autostart")),
            ("enviroment.PATH", Some("environment.PATH")),
            ("security.nestin", Some("security.nesting")),
            ("bad.key", None),
            ("", None),
        ] {
            assert_eq!(suggestion(name).as_deref(), meant, "{name}");
        }
    }
}
