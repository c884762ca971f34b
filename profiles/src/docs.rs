//! The tables as a document.

use std::fmt::{self, Write};

use crate::device_kinds;
use crate::key::{Applies, Key, Scope, Status, keys};

const INTRODUCTION: &str = "\
# Configuration keys

Made from the tables in `profiles/`; to make it anew:
`cargo run -p sc-profiles --example config_keys > docs/config-keys.md`.

A key is honoured or refused by name, never ignored. An empty value is the same as no key. Profiles
apply in their order, the instance's own keys last; a later key replaces an earlier one, a later
device replaces the earlier one of its name whole.

`volatile.*` keys are the daemon's records. A client may send them back as they are or leave them
out; of their values it may change only a NIC's `volatile.DEVICE.hwaddr`. Where a new instance is given
what is another's record (`sc config show web1 | sc init debian:12 web2`), all `volatile.*` and
`image.*` keys are left out; an address beside no such record is taken.

";

/// Renders every key and device type as Markdown: the content of `docs/config-keys.md`.
pub fn docs() -> String {
    let mut text = INTRODUCTION.to_owned();
    write_all(&mut text).expect("writing to a string does not fail");
    text
}

fn write_all(out: &mut String) -> fmt::Result {
    writeln!(out, "## Honoured\n")?;
    writeln!(out, "| key | values | takes effect | what it is |")?;
    writeln!(out, "|---|---|---|---|")?;
    for key in keys().iter().filter(|key| key.status == Status::Honoured) {
        let (name, kind) = (key.name, key.kind);
        writeln!(out, "| `{name}` | {kind} | {} | {} |", effect(key), key.text)?;
    }
    writeln!(out, "\n## Devices\n")?;
    for kind in device_kinds().iter().filter(|kind| kind.honoured) {
        writeln!(out, "### `{}`: {}\n", kind.name, kind.text)?;
        if kind.keys.is_empty() {
            continue;
        }
        writeln!(out, "| key | what it is |")?;
        writeln!(out, "|---|---|")?;
        for key in kind.keys.iter().filter(|key| key.honoured) {
            writeln!(out, "| `{}` | {} |", key.name, key.text)?;
        }
        writeln!(out, "\nKnown and refused:\n")?;
        for key in kind.keys.iter().filter(|key| !key.honoured) {
            writeln!(out, "- `{}`: {}", key.name, key.text)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "### Known and refused types\n")?;
    for kind in device_kinds().iter().filter(|kind| !kind.honoured) {
        writeln!(out, "- `{}`: {}", kind.name, kind.text)?;
    }
    writeln!(out, "\n## Known and refused keys\n")?;
    writeln!(out, "| key | values | default | for | what it would be |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for key in keys().iter().filter(|key| key.status == Status::Refused) {
        let (name, kind, default) = (key.name, key.kind, key.default);
        let applies = applies(key.applies);
        writeln!(out, "| `{name}` | {kind} | {default} | {applies} | {} |", key.text)?;
    }
    Ok(())
}

fn effect(key: &Key) -> &'static str {
    match key.scope {
        Scope::Live => "at once",
        Scope::Exec => "next exec, next start",
        Scope::Restart => "next start",
    }
}

fn applies(applies: Applies) -> &'static str {
    match applies {
        Applies::Any => "all",
        Applies::Container => "containers",
        Applies::VirtualMachine => "virtual machines",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config-keys.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == super::docs(),
            "docs/config-keys.md is stale: \
             cargo run -p sc-profiles --example config_keys > docs/config-keys.md"
        );
    }
}
