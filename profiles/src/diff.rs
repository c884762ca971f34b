//! What a change of configuration needs.

use std::collections::{BTreeMap, BTreeSet};

use sc_api::quoted;

use crate::{Boot, CpuLimit, Disk, Effective, MemoryLimit, Nic};

/// A change that a running instance takes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set the memory limit; `None` lifts it.
    Memory(Option<MemoryLimit>),
    /// Set the processors; `None` gives all.
    Cpu(Option<CpuLimit>),
    /// Set the limit on processes; `None` lifts it.
    Processes(Option<u64>),
    /// Environment of the next `exec` and the next start: the whole new map.
    Environment(BTreeMap<String, String>),
    /// Read when the daemon starts and when it stops all: nothing to do now.
    Boot(Boot),
    /// `user.*`, `image.*`, the root device's name: nothing to do.
    Notes,
}

/// A change that cannot be made as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The key or device.
    pub what: String,
    /// Why, and what to do.
    pub why: String,
}

/// What a change needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Taken by a running instance at once.
    pub live: Vec<Change>,
    /// Refused while the instance runs, fine when it is stopped.
    pub stopped_only: Vec<Refusal>,
    /// Refused always.
    pub never: Vec<Refusal>,
}

impl Diff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.stopped_only.is_empty() && self.never.is_empty()
    }

    /// The first reason why the change is refused, for an instance that runs or does not.
    pub fn refusal(&self, running: bool) -> Option<&Refusal> {
        let running = self.stopped_only.iter().filter(|_| running);
        self.never.iter().chain(running).next()
    }
}

/// Compares two allowed configurations of one instance.
pub fn diff(before: &Effective, after: &Effective) -> Diff {
    let mut diff = Diff { live: live(before, after), ..Diff::default() };
    let nics = changed(&before.nics, &after.nics, |nic: &Nic| &nic.device);
    let disks = changed(&before.disks, &after.disks, |disk: &Disk| &disk.device);
    for (what, devices) in [("network interface", nics), ("disk", disks)] {
        diff.stopped_only.extend(devices.into_iter().map(|device| Refusal {
            what: format!("device {}", quoted(device)),
            why: format!(
                "a {what} cannot be added, changed or removed while the instance runs: \
                 stop it first"
            ),
        }));
    }
    if before.root.pool != after.root.pool {
        diff.never.push(Refusal {
            what: format!("device {}", quoted(&after.root.device)),
            why: format!(
                "the root disk is in pool {} and cannot be put into {} by a change of configuration",
                quoted(&before.root.pool),
                quoted(&after.root.pool)
            ),
        });
    }
    diff
}

fn live(before: &Effective, after: &Effective) -> Vec<Change> {
    let mut live = Vec::new();
    let (old, new) = (&before.limits, &after.limits);
    if old.memory != new.memory {
        live.push(Change::Memory(new.memory));
    }
    if old.cpu != new.cpu {
        live.push(Change::Cpu(new.cpu.clone()));
    }
    if old.processes != new.processes {
        live.push(Change::Processes(new.processes));
    }
    if before.environment != after.environment {
        live.push(Change::Environment(after.environment.clone()));
    }
    if before.boot != after.boot {
        live.push(Change::Boot(after.boot.clone()));
    }
    if before.notes != after.notes || before.root.device != after.root.device {
        live.push(Change::Notes);
    }
    live
}

/// The names of the devices that were added, changed or removed.
fn changed<'a, T: PartialEq>(
    before: &'a [T],
    after: &'a [T],
    name: impl Fn(&'a T) -> &'a String,
) -> BTreeSet<&'a str> {
    let gone = before.iter().filter(|device| !after.contains(device));
    let new = after.iter().filter(|device| !before.contains(device));
    gone.chain(new).map(|device| name(device).as_str()).collect()
}
