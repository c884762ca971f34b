//! What of one daemon is on the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::wait::eventually;

/// Everything that one daemon has on the host at a moment, each thing as a line, with how often it is
/// there. The lines of other daemons are not in it, so that tests can run side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSnapshot(BTreeMap<String, usize>);

impl HostSnapshot {
    /// Of the daemon whose `SC_DIR` is `dir`.
    pub fn of(dir: &Path) -> Self {
        let mut lines = Vec::new();
        let mut add = |kind: &str, names: Vec<String>| {
            lines.extend(names.into_iter().map(|name| format!("{kind} {name}")));
        };
        add("mount", mounts(dir));
        add("loop device", loop_devices(dir));
        for bridge in bridges(dir) {
            add("link", ports(&bridge));
            add("table", tables(&bridge));
            add("lease", leases(dir, &bridge));
            add("link", links_named(&bridge));
        }
        add("cgroup", cgroups(dir).into_iter().map(show).collect());
        add("process", processes(dir).into_iter().map(|(_, name)| name).collect());
        add("id range", id_claims(dir));
        add("file", files(dir));
        Self::counted(lines)
    }

    fn counted(lines: Vec<String>) -> Self {
        let mut counts = BTreeMap::new();
        lines.into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
        Self(counts)
    }

    /// What is in this one and not in the other, or more often than in the other.
    pub fn more_than(&self, other: &Self) -> Vec<String> {
        let more = |line: &String, count: usize| count > other.0.get(line).copied().unwrap_or(0);
        let more = self.0.iter().filter(|(line, count)| more(line, **count));
        more.map(|(line, _)| line.clone()).collect()
    }

    /// All lines in their order, each as often as it is there.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|(line, count)| std::iter::repeat_n(line.as_str(), *count))
    }

    /// The lines of a kind, each as often as it is there.
    pub fn of_kind(&self, kind: &str) -> Vec<&str> {
        self.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).collect()
    }
}

/// Where the daemon's control groups may be in a hierarchy: a group at its top or, where systemd
/// is the host's init, a scope.
pub fn trees(dir: &Path) -> [String; 2] {
    let name = tree_name(dir);
    [format!("system.slice/{name}.scope"), name]
}

fn tree_name(dir: &Path) -> String {
    use sha2::{Digest, Sha256};
    if dir == Path::new("/var/lib/sc") {
        return "sc".to_owned();
    }
    let digest = Sha256::digest(dir.display().to_string().as_bytes());
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("sc-{digits}")
}

/// The names of the daemon's bridges.
pub fn bridges(dir: &Path) -> Vec<String> {
    names_in(&dir.join("networks"))
}

/// Mount points below the folder, deepest last.
pub fn mounts(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let prefix = format!("{}/", dir.display());
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| point.starts_with(&prefix)).map(str::to_owned).collect()
}

/// Whether the folder itself is a mount point.
pub fn is_mounted(dir: &Path) -> bool {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().any(|line| line.split(' ').nth(4) == dir.to_str())
}

fn loop_devices(dir: &Path) -> Vec<String> {
    let backing = names_in(Path::new("/sys/block")).into_iter().filter_map(|name| {
        let path = format!("/sys/block/{name}/loop/backing_file");
        Some(format!("{name} {}", std::fs::read_to_string(path).ok()?.trim()))
    });
    let prefix = format!(" {}/", dir.display());
    backing.filter(|line| line.contains(&prefix)).collect()
}

fn ports(bridge: &str) -> Vec<String> {
    names_in(&Path::new("/sys/class/net").join(bridge).join("brif"))
}

fn links_named(bridge: &str) -> Vec<String> {
    let there = Path::new("/sys/class/net").join(bridge).exists();
    there.then(|| bridge.to_owned()).into_iter().collect()
}

fn tables(bridge: &str) -> Vec<String> {
    let list = || {
        let output = Command::new("nft").args(["list", "tables"]).output().expect("nft is there");
        // It fails when another process changes the rules meanwhile.
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let text = eventually("the list of tables", Duration::from_secs(10), list);
    let name = format!(" sc_{bridge}");
    text.lines().filter(|line| line.ends_with(&name)).map(str::to_owned).collect()
}

fn leases(dir: &Path, bridge: &str) -> Vec<String> {
    let path = dir.join("networks").join(bridge).join("dnsmasq.leases");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The first field is when it ends, and `duid` is dnsmasq's own.
    let lines = text.lines().filter(|line| !line.starts_with("duid"));
    lines.map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
}

/// The daemon's control groups in every hierarchy, deepest first.
pub fn cgroups(dir: &Path) -> Vec<PathBuf> {
    let trees = trees(dir);
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.contains(" - cgroup")) {
        let mount = line.split(' ').nth(4).unwrap_or_default();
        for tree in &trees {
            deepest_first(&Path::new(mount).join(tree), &mut found);
        }
    }
    found
}

fn deepest_first(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            deepest_first(&entry.path(), found);
        }
    }
    found.push(folder.to_owned());
}

/// The processes in the daemon's control groups, and its own: pid and command. A zombie is its
/// parent's to reap and no more a process.
pub fn processes(dir: &Path) -> Vec<(i32, String)> {
    let trees = trees(dir).map(|tree| format!("/{tree}/"));
    let folder = format!("{}/", dir.display());
    let pids = names_in(Path::new("/proc")).into_iter().filter_map(|name| name.parse().ok());
    let ours = pids.filter_map(|pid: i32| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let cgroup = std::fs::read_to_string(proc.join("cgroup")).ok()?;
        let command = std::fs::read(proc.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let in_tree = trees.iter().any(|tree| cgroup.contains(tree));
        let ours = in_tree || command.contains(&folder);
        (ours && !command.is_empty() && pid != std::process::id().cast_signed())
            .then(|| (pid, command.trim_end().to_owned()))
    });
    ours.collect()
}

fn id_claims(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string("/run/sc/idmap/claims").unwrap_or_default();
    let daemon = format!("\t{}\t", dir.display());
    text.lines().filter(|line| line.contains(&daemon)).map(str::to_owned).collect()
}

/// Files and folders of the daemon, but for what is a file of the store's own; the folder of a boot is that,
/// whichever it is.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(dir, &mut found);
    found.retain(|name| !name.contains("/database/") && !name.contains("/dnsmasq."));
    let boots = dir.join("run").display().to_string();
    for boot in names_in(&dir.join("run")) {
        let own = format!("{boots}/{boot}");
        for name in &mut found {
            if let Some(rest) = name.strip_prefix(&own) {
                *name = format!("{boots}/BOOT{rest}");
            }
        }
    }
    found
}

/// Walks without following links and not into guests' files.
fn walk(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        found.push(show(path.clone()));
        let guest = ["rootfs", "upper"].iter().any(|name| entry.file_name() == *name);
        if !guest && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found);
        }
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn show(path: PathBuf) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_of_the_same_command_is_more_than_one() {
        let of = |lines: &[&str]| {
            HostSnapshot::counted(lines.iter().map(|line| (*line).to_owned()).collect())
        };
        let one = of(&["file /a", "process dnsmasq"]);
        let two = of(&["process dnsmasq", "process dnsmasq"]);
        assert_eq!(two.more_than(&one), ["process dnsmasq"]);
        assert_eq!(one.more_than(&two), ["file /a"]);
        assert_eq!(two.of_kind("process"), ["dnsmasq", "dnsmasq"]);
    }
}
