//! What an allowed configuration comes to, typed.

use std::collections::BTreeMap;

use crate::{CpuSet, Disk, Nic, RootDisk};

/// An allowed, expanded configuration: everything that a start needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Limits on what the instance may use.
    pub limits: Limits,
    /// `boot.autostart`; `None` restores the last state.
    pub autostart: Option<bool>,
    /// `environment.*`, names without the prefix.
    pub environment: BTreeMap<String, String>,
    /// Network interfaces, in the order of their devices' names.
    pub nics: Vec<Nic>,
    /// Host paths shown inside, outer paths before inner ones.
    pub disks: Vec<Disk>,
    /// The root disk.
    pub root: RootDisk,
    /// `user.*` and `image.*`, which change nothing by themselves.
    pub notes: BTreeMap<String, String>,
}

/// Limits; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `limits.memory`.
    pub memory: Option<MemoryLimit>,
    /// `limits.cpu`.
    pub cpu: Option<CpuLimit>,
    /// `limits.processes`.
    pub processes: Option<u64>,
}

/// A limit on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// In bytes, at least 1.
    Bytes(u64),
    /// In percent of the host's memory, 1 to 100.
    Percent(u8),
}

/// A limit on processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpuLimit {
    /// So many, whichever; at least 1.
    Count(u32),
    /// These; never empty.
    Set(CpuSet),
}

impl MemoryLimit {
    /// The limit in bytes on a host with this much memory.
    pub fn bytes(self, host_total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => host_total / 100 * u64::from(percent),
        }
    }
}
