//! The table of keys as a document.

/// Renders every key and device type as Markdown: the content of `docs/config-keys.md`.
pub fn docs() -> String {
    String::new()
}
