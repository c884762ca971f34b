//! Kinds of values.

/// What a key's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true`, `false` and their synonyms; see [`parse_bool`].
    Bool,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A size with units, such as `512MiB`.
    Size,
    /// A size, or a percentage of the host's memory.
    Memory,
    /// A count of processors, or a set such as `0-3,6`.
    Cpus,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A hardware address, `00:16:3e:01:02:03`.
    Mac,
    /// A UUID.
    Uuid,
}

/// Reads a truth value as LXD does: true, 1, yes, on; false, 0, no, off; in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}
