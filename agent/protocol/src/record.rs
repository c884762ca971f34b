//! What an agent writes down for a daemon that was away.

use std::fmt;

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

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { pid, reboots: 0 } => write!(f, "init runs, pid {pid} on the host"),
            Self::Started { pid, reboots } => {
                write!(f, "init runs again, pid {pid} on the host, reboots so far: {reboots}")
            }
            Self::Rebooting => f.write_str("the guest reboots"),
            Self::Ended(exit) => write!(f, "the guest has ended: {exit}"),
            Self::Failed(failure) => write!(f, "the boot failed: {failure}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_in_words() {
        let failure = BootFailure {
            step: "mount overlay".into(),
            object: "/pool/1".into(),
            errno: 28,
            remedy: None,
        };
        for (what, text) in [
            (Recorded::Started { pid: 7, reboots: 0 }, "init runs, pid 7 on the host"),
            (
                Recorded::Ended(Exit::Killed { signal: 9 }),
                "the guest has ended: killed by signal 9",
            ),
            (
                Recorded::Failed(failure),
                "the boot failed: mount overlay: /pool/1: No space left on device (os error 28)",
            ),
        ] {
            assert_eq!(what.to_string(), text);
        }
    }
}
