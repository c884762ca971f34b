//! What an agent writes down for a daemon that was away.

use serde::{Deserialize, Serialize};

use crate::{BootFailure, Exit};

/// One line of [`InstanceSpec::exit_record`](crate::InstanceSpec::exit_record), as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// When, in microseconds since the epoch.
    pub at_us: u64,
    /// What happened.
    pub what: Recorded,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// PID 1 was executed.
    Started {
        /// PID 1's pid on the host.
        pid: u32,
        /// How often the guest had rebooted itself.
        reboots: u32,
    },
    /// The guest asked for a reboot.
    Rebooting,
    /// The instance ended.
    Ended(Exit),
    /// The boot failed.
    Failed(BootFailure),
}
