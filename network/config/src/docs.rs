//! The table as a document.

use std::fmt::{self, Write};

use crate::{KEYS, Key, Support};

const INTRODUCTION: &str = "\
# Network keys

Made from the table in `network/config/`; to make it anew:
`cargo run -p sc-network-config --example network_keys > docs/network-keys.md`.

What `sc network create NETWORK KEY=VALUE ...` takes, and the `config` of a network in the API and in a preseed. A
key is honoured or refused by name, never ignored. An empty value is the same as no key.

A network that is created without `ipv4.address` and `ipv6.address` gets a subnet of each that the host does not use,
with NAT: `auto` stands for that.

";

/// Renders every key as Markdown: the content of `docs/network-keys.md`.
pub fn docs() -> String {
    let mut text = INTRODUCTION.to_owned();
    write_all(&mut text).expect("writing to a string does not fail");
    text
}

fn write_all(out: &mut String) -> fmt::Result {
    writeln!(out, "## Honoured\n")?;
    writeln!(out, "| key | default | what it is |")?;
    writeln!(out, "|---|---|---|")?;
    for Key { name, default, text, .. } in honoured() {
        writeln!(out, "| `{}` | {default} | {text} |", shown(name))?;
    }
    writeln!(out, "\n## Known and refused\n")?;
    writeln!(out, "| key | what it would be | why not |")?;
    writeln!(out, "|---|---|---|")?;
    for Key { name, text, support, .. } in KEYS {
        if let Support::Refused(why) = support {
            writeln!(out, "| `{}` | {text} | {why} |", shown(name))?;
        }
    }
    Ok(())
}

/// The keys that do what they say.
pub fn honoured() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| matches!(key.support, Support::Honoured(_)))
}

/// A key's name, or what stands for a family of them.
fn shown(name: &str) -> String {
    if name.ends_with('.') { format!("{name}*") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/network-keys.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == super::docs(),
            "docs/network-keys.md is stale: \
             cargo run -p sc-network-config --example network_keys > docs/network-keys.md"
        );
    }
}
