//! The columns of `sc list`: LXD's letters, and configuration keys.

use anyhow::Result;
use sc_api::{
    AddressFamily, ByteSize, Instance, InstanceParts, InstanceState, StatusCode, Timestamp,
};

use crate::columns::{self, Column};
use crate::usage::wrong;

/// LXD's columns.
pub const COLUMNS: &[Column<Instance>] = &[
    Column { letter: 'n', title: "NAME", about: "Name", value: |i| i.name.clone() },
    Column { letter: 's', title: "STATE", about: "State", value: |i| i.status.to_uppercase() },
    Column { letter: '4', title: "IPV4", about: "IPv4 addresses", value: ipv4 },
    Column { letter: '6', title: "IPV6", about: "IPv6 addresses", value: ipv6 },
    Column { letter: 't', title: "TYPE", about: "Type", value: kind },
    Column { letter: 'S', title: "SNAPSHOTS", about: "Number of snapshots", value: snapshots },
    Column { letter: 'a', title: "ARCHITECTURE", about: "Architecture", value: architecture },
    Column { letter: 'b', title: "STORAGE POOL", about: "Storage pool", value: pool },
    Column { letter: 'c', title: "CREATED AT", about: "When it was created", value: created },
    Column { letter: 'd', title: "DESCRIPTION", about: "Description", value: description },
    Column { letter: 'e', title: "PROJECT", about: "Project", value: |i| i.project.clone() },
    Column { letter: 'f', title: "BASE IMAGE", about: "Image, shortened", value: short_image },
    Column { letter: 'F', title: "BASE IMAGE", about: "Image", value: image },
    Column { letter: 'l', title: "LAST USED AT", about: "When it last started", value: last_used },
    Column { letter: 'L', title: "LOCATION", about: "Location", value: |i| i.location.clone() },
    Column { letter: 'm', title: "MEMORY USAGE", about: "Memory usage", value: memory },
    Column { letter: 'M', title: "MEMORY USAGE%", about: "Of its limit", value: memory_percent },
    Column { letter: 'N', title: "PROCESSES", about: "Number of processes", value: processes },
    Column { letter: 'p', title: "PID", about: "Process id of its init", value: pid },
    Column { letter: 'P', title: "PROFILES", about: "Profiles", value: |i| i.profiles.join("\n") },
    Column { letter: 'u', title: "CPU USAGE", about: "Processor time", value: cpu },
];

/// LXD's column of what a root holds. No driver counts that, and looking at every file is too slow
/// for a list.
const DISK_USAGE: char = 'D';

/// The letters of what is in the configuration only.
const OF_CONFIG: &str = "bfF";

/// The letters of addresses.
const OF_NETWORK: &str = "46";

/// The letters of what is used.
const OF_USAGE: &str = "mMNu";

/// A column that was chosen.
pub enum Chosen {
    /// One of LXD's.
    Known(&'static Column<Instance>),
    /// A configuration key.
    Config {
        /// The key.
        key: String,
        /// The title.
        title: String,
    },
}

impl Chosen {
    /// Its title.
    pub fn title(&self) -> &str {
        match self {
            Self::Known(column) => column.title,
            Self::Config { title, .. } => title,
        }
    }

    /// Its cell.
    pub fn value(&self, instance: &Instance) -> String {
        match self {
            Self::Known(column) => (column.value)(instance),
            Self::Config { key, .. } => {
                instance.expanded_config.get(key).cloned().unwrap_or_default()
            }
        }
    }

    /// What it must be asked for.
    pub fn needs(&self) -> InstanceParts {
        match self {
            Self::Known(column) => InstanceParts {
                config: OF_CONFIG.contains(column.letter),
                network: OF_NETWORK.contains(column.letter),
                usage: OF_USAGE.contains(column.letter),
            },
            Self::Config { .. } => InstanceParts { config: true, ..InstanceParts::default() },
        }
    }
}

/// The columns that `text` asks for: letters, and between commas configuration keys.
pub fn choose(text: &str) -> Result<Vec<Chosen>> {
    let mut chosen = Vec::new();
    for part in text.split(',') {
        if part.contains('.') {
            chosen.push(config_key(part));
        } else {
            for letter in part.chars() {
                if letter == DISK_USAGE {
                    return Err(wrong(format!(
                        "the column {letter:?}, disk usage, is not built yet; `sc storage info` \
                         shows what a pool uses"
                    )));
                }
                chosen.push(Chosen::Known(columns::one(COLUMNS, letter)?));
            }
        }
    }
    if chosen.is_empty() {
        return Err(wrong("no column is asked for"));
    }
    Ok(chosen)
}

fn config_key(text: &str) -> Chosen {
    let text = text.strip_prefix("config:").unwrap_or(text);
    let (key, title) = text.split_once(':').unwrap_or((text, text));
    let title = if title == key { key.to_uppercase() } else { title.to_owned() };
    Chosen::Config { key: key.to_owned(), title }
}

fn ipv4(instance: &Instance) -> String {
    addresses(instance, AddressFamily::Inet)
}

fn ipv6(instance: &Instance) -> String {
    addresses(instance, AddressFamily::Inet6)
}

/// The addresses by which others reach it, one a line.
fn addresses(instance: &Instance, family: AddressFamily) -> String {
    let Some(state) = &instance.state else { return String::new() };
    let mut lines = Vec::new();
    for (name, interface) in &state.network {
        for address in &interface.addresses {
            if address.family == family && address.scope == "global" {
                lines.push(format!("{} ({name})", address.address));
            }
        }
    }
    lines.join("\n")
}

fn kind(instance: &Instance) -> String {
    let ephemeral = if instance.ephemeral { " (EPHEMERAL)" } else { "" };
    let kind = match instance.instance_type {
        sc_api::InstanceType::VirtualMachine => "VIRTUAL-MACHINE",
        sc_api::InstanceType::Container | sc_api::InstanceType::Unset => "CONTAINER",
    };
    format!("{kind}{ephemeral}")
}

fn snapshots(instance: &Instance) -> String {
    instance.snapshots.as_ref().map_or(0, Vec::len).to_string()
}

fn architecture(instance: &Instance) -> String {
    instance.architecture.clone()
}

fn description(instance: &Instance) -> String {
    instance.description.clone()
}

fn pool(instance: &Instance) -> String {
    let root = instance.expanded_devices.values().find(|device| {
        device.get("type").is_some_and(|kind| kind == "disk")
            && device.get("path").is_some_and(|path| path == "/")
    });
    root.and_then(|device| device.get("pool")).cloned().unwrap_or_default()
}

fn created(instance: &Instance) -> String {
    moment(instance.created_at)
}

fn last_used(instance: &Instance) -> String {
    moment(instance.last_used_at)
}

/// A moment as LXD shows it; nothing where there was none.
pub fn moment(time: Timestamp) -> String {
    if time.as_second() <= 0 {
        return String::new();
    }
    time.strftime("%Y/%m/%d %H:%M UTC").to_string()
}

fn image(instance: &Instance) -> String {
    instance.expanded_config.get("volatile.base_image").cloned().unwrap_or_default()
}

fn short_image(instance: &Instance) -> String {
    image(instance).chars().take(12).collect()
}

/// Something of a running instance's state.
fn running(instance: &Instance, value: impl FnOnce(&InstanceState) -> String) -> String {
    match &instance.state {
        Some(state) if state.status_code != StatusCode::Stopped => value(state),
        _ => String::new(),
    }
}

fn bytes(amount: i64) -> String {
    match u64::try_from(amount) {
        Ok(0) | Err(_) => String::new(),
        Ok(amount) => ByteSize(amount).to_string(),
    }
}

fn memory(instance: &Instance) -> String {
    running(instance, |state| bytes(state.memory.usage))
}

fn memory_percent(instance: &Instance) -> String {
    running(instance, |state| match state.memory.total {
        total if total > 0 => {
            format!("{:.1}%", state.memory.usage as f64 * 100.0 / total as f64)
        }
        _ => String::new(),
    })
}

fn processes(instance: &Instance) -> String {
    running(instance, |state| state.processes.to_string())
}

fn pid(instance: &Instance) -> String {
    running(instance, |state| state.pid.to_string())
}

fn cpu(instance: &Instance) -> String {
    running(instance, |state| format!("{}s", state.cpu.usage / 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_keys_are_told_apart() {
        let chosen = choose("ns,user.owner:OWNER,limits.memory,4").unwrap();
        let titles: Vec<&str> = chosen.iter().map(Chosen::title).collect();
        assert_eq!(titles, ["NAME", "STATE", "OWNER", "LIMITS.MEMORY", "IPV4"]);
    }

    #[test]
    fn an_unknown_letter_is_refused_with_the_known_ones() {
        let text = choose("nxs").err().unwrap().to_string();
        assert!(text.contains("'x'") && text.contains("ns46tS"), "{text}");
        assert!(choose("").is_err());
        let text = choose("nD").err().unwrap().to_string();
        assert!(text.contains("disk usage, is not built"), "{text}");
    }

    #[test]
    fn nothing_is_asked_for_that_no_column_shows() {
        let needs = |letters: &str| {
            let chosen = choose(letters).unwrap();
            chosen.iter().map(Chosen::needs).fold(InstanceParts::default(), InstanceParts::and)
        };
        for (letters, parts) in
            [("nsacPtS", ""), ("ns46tS", "network"), ("nb,user.owner", "config"), ("nm", "usage")]
        {
            assert_eq!(needs(letters).to_string(), parts, "{letters}");
        }
    }
}
