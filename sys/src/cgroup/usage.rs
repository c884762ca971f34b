//! What an instance uses.

use std::path::Path;
use std::time::Duration;

use super::instance::InstanceCgroup;
use super::v1::read;
use crate::error::Result;

/// What an instance uses; `None` where the host does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory now, in bytes, page cache included.
    pub memory: Option<u64>,
    /// The most memory since its start, in bytes.
    pub memory_peak: Option<u64>,
    /// Swap now, in bytes.
    pub swap: Option<u64>,
    /// Processor time since its start.
    pub cpu: Option<Duration>,
    /// Processes and threads now.
    pub tasks: Option<u64>,
}

impl InstanceCgroup {
    /// Reads what the instance uses.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage { cpu: self.cpu_time(), ..Usage::default() };
        if let Ok((path, is_v2)) = self.controller("memory") {
            let names = if is_v2 {
                ["memory.current", "memory.peak", "memory.swap.current"]
            } else {
                [
                    "memory.usage_in_bytes",
                    "memory.max_usage_in_bytes",
                    "memory.memsw.usage_in_bytes",
                ]
            };
            let [memory, peak, swap] = names.map(|name| number(&path.join(name)));
            usage.memory = memory;
            usage.memory_peak = peak;
            // v1 counts memory and swap together.
            usage.swap = match (is_v2, swap, memory) {
                (false, Some(both), Some(memory)) => Some(both.saturating_sub(memory)),
                (_, swap, _) => swap,
            };
        }
        if let Ok((path, _)) = self.controller("pids") {
            usage.tasks = number(&path.join("pids.current"));
        }
        Ok(usage)
    }

    fn cpu_time(&self) -> Option<Duration> {
        if let Ok((path, false)) = self.controller("cpuacct") {
            return number(&path.join("cpuacct.usage")).map(Duration::from_nanos);
        }
        // cgroup2 counts it without a controller.
        let text = read(&self.directory().join("cpu.stat")).ok()?;
        let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        micros.trim().parse().ok().map(Duration::from_micros)
    }
}

fn number(path: &Path) -> Option<u64> {
    read(path).ok()?.trim().parse().ok()
}
