//! The table of configuration keys.

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
    /// The name. A `*` stands for one part or more: `environment.*`, `volatile.*.hwaddr`.
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
    &[]
}

/// The entry for a key as a user writes it; exact names go before families.
pub fn find(name: &str) -> Option<&'static Key> {
    keys().iter().find(|key| key.name == name)
}
