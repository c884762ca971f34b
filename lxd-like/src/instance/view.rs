//! What the owner task shows of its instance, and how the API shows that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sc_agent_protocol::{Interface, Scope};
use sc_api::{
    AddressFamily, ByteSize, CpuUsage, Instance, InstanceParts, InstanceState, InstanceType,
    MemoryUsage, NetworkAddress, NetworkCounters, NetworkInterfaceState, StatusCode, no_time,
};
use sc_profiles::{MemoryLimit, Settings};
use tokio::time::timeout;

use super::queue::Standing;
use super::run::Run;
use crate::error::chain;
use crate::model::{InstanceRecord, PROJECT};

/// How long an agent is waited for when its instance is asked for alone. Lists wait for none.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Everything that readers may know of an instance, as of now.
#[derive(Debug, Clone)]
pub struct View {
    /// What is kept of it.
    pub record: Arc<InstanceRecord>,
    /// Configuration and devices with its profiles' laid under.
    pub expanded: Arc<Settings>,
    /// Where it is.
    pub phase: Phase,
}

/// Where an instance is.
#[derive(Debug, Clone)]
pub enum Phase {
    /// Its volume is being made.
    Creating,
    /// It does not run.
    Stopped,
    /// It is being started.
    Starting,
    /// It runs.
    Running(Arc<Run>),
    /// It was asked to stop, or what it leaves is being cleared up.
    Stopping(Arc<Run>),
    /// It ran when its agent was last heard of, which does not answer now.
    Silent,
    /// It is being deleted.
    Deleting,
}

impl Phase {
    /// The part of it that decides over requests.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Creating => Standing::Creating,
            Self::Stopped => Standing::Stopped,
            Self::Starting => Standing::Starting,
            Self::Running(_) => Standing::Running,
            Self::Stopping(_) => Standing::Stopping,
            Self::Silent => Standing::Silent,
            Self::Deleting => Standing::Deleting,
        }
    }

    /// The run, while there is a guest.
    pub fn run(&self) -> Option<&Arc<Run>> {
        match self {
            Self::Running(run) | Self::Stopping(run) => Some(run),
            _ => None,
        }
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping(_))
    }

    /// Whether there is a guest, as far as is known.
    pub fn has_guest(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Stopping(_) | Self::Silent)
    }

    /// Whether its agent does not answer.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Silent)
    }

    /// The API's status. An instance that is being stopped runs until it does not.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Running(_) | Self::Stopping(_) => StatusCode::Running,
            Self::Starting => StatusCode::Starting,
            Self::Silent => StatusCode::Error,
            Self::Creating | Self::Stopped | Self::Deleting => StatusCode::Stopped,
        }
    }
}

impl View {
    /// As the API shows it.
    pub fn instance(&self) -> Instance {
        self.part(InstanceParts::ALL)
    }

    /// As the API shows it, with these parts alone.
    fn part(&self, parts: InstanceParts) -> Instance {
        let record = &*self.record;
        let status = self.phase.status();
        Instance {
            name: record.name.to_string(),
            description: record.description.clone(),
            status: status.text().into(),
            status_code: status,
            created_at: record.created_at,
            last_used_at: record.last_used_at.unwrap_or_else(no_time),
            location: "none".into(),
            instance_type: InstanceType::Container,
            project: PROJECT.into(),
            architecture: record.architecture.clone(),
            ephemeral: record.ephemeral,
            stateful: false,
            profiles: record.profiles.iter().map(ToString::to_string).collect(),
            config: asked(parts.config, &record.config),
            devices: asked(parts.config, &record.devices),
            expanded_config: asked(parts.config, &self.expanded.config),
            expanded_devices: asked(parts.config, &self.expanded.devices),
            state: None,
            snapshots: None,
            backups: None,
        }
    }

    /// As the API shows it with its state, with these parts alone.
    pub fn full(&self, parts: InstanceParts) -> Instance {
        Instance {
            state: Some(self.state(parts)),
            snapshots: Some(Vec::new()),
            backups: Some(Vec::new()),
            ..self.part(parts)
        }
    }

    /// As [`full`](Self::full), with the interfaces and their counters as they are now.
    pub async fn full_now(&self) -> Instance {
        Instance { state: Some(self.state_now().await), ..self.full(InstanceParts::ALL) }
    }

    /// Its state with the interfaces and their counters as they are now. An agent that does not
    /// answer soon has told them before: on every change of addresses.
    pub async fn state_now(&self) -> InstanceState {
        let mut state = self.state(InstanceParts::ALL);
        if let Some(run) = self.phase.run()
            && let Ok(Ok(interfaces)) = timeout(ANSWERS_WITHIN, run.link.interfaces()).await
        {
            state.network = networks(run, &interfaces);
        }
        state
    }

    /// What `environment.*` gives to programs inside.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let set = self.expanded.config.iter();
        set.filter_map(|(key, value)| {
            Some((key.strip_prefix("environment.")?.to_owned(), value.clone()))
        })
        .collect()
    }

    /// `limits.memory` in bytes, where it is set.
    fn memory_limit(&self) -> Option<u64> {
        let text = self.expanded.config.get("limits.memory")?;
        let limit = match text.strip_suffix('%') {
            Some(percent) => MemoryLimit::Percent(percent.trim().parse().ok()?),
            None => MemoryLimit::Bytes(text.parse::<ByteSize>().ok()?.0),
        };
        let host = rustix::system::sysinfo();
        Some(limit.bytes(host.totalram * u64::from(host.mem_unit)))
    }

    /// Its state: what the agent has told, and what its cgroup counts.
    fn state(&self, parts: InstanceParts) -> InstanceState {
        let status = self.phase.status();
        let mut state = InstanceState {
            status: status.text().into(),
            status_code: status,
            disk: BTreeMap::new(),
            memory: MemoryUsage::default(),
            network: BTreeMap::new(),
            pid: 0,
            processes: 0,
            cpu: CpuUsage::default(),
        };
        let Some(run) = self.phase.run() else { return state };
        let observed = run.observed();
        state.pid = i64::from(observed.pid);
        if parts.network {
            state.network = networks(run, &observed.interfaces);
        }
        if !parts.usage {
            return state;
        }
        match run.cgroup.usage() {
            Ok(usage) => {
                state.processes = signed(usage.tasks);
                state.cpu.usage = usage.cpu.map_or(0, |time| time.as_nanos() as i64);
                state.memory.usage = signed(usage.memory);
                state.memory.usage_peak = signed(usage.memory_peak);
                state.memory.swap_usage = signed(usage.swap);
                state.memory.total = signed(self.memory_limit());
            }
            // The guest may be ending this moment: then there is nothing to count.
            Err(error) => tracing::debug!(error = chain(&error), "read what an instance uses"),
        }
        state
    }
}

fn asked<K: Clone + Ord, V: Clone>(asked: bool, map: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    if asked { map.clone() } else { BTreeMap::new() }
}

fn networks(run: &Run, interfaces: &[Interface]) -> BTreeMap<String, NetworkInterfaceState> {
    interfaces.iter().map(|interface| (interface.name.clone(), network(run, interface))).collect()
}

fn network(run: &Run, interface: &Interface) -> NetworkInterfaceState {
    let link = run.plan.links.iter().find(|link| link.guest_name == interface.name);
    let [bytes_received, packets_received, bytes_sent, packets_sent] = interface.counters;
    NetworkInterfaceState {
        addresses: interface.addresses.iter().map(address).collect(),
        counters: NetworkCounters {
            bytes_received,
            bytes_sent,
            packets_received,
            packets_sent,
            ..NetworkCounters::default()
        },
        hwaddr: interface.mac.clone(),
        host_name: link.map(|link| link.host_name.clone()).unwrap_or_default(),
        mtu: interface.mtu,
        state: if interface.up { "up" } else { "down" }.into(),
        interface_type: if interface.loopback { "loopback" } else { "broadcast" }.into(),
    }
}

fn address(address: &sc_agent_protocol::InterfaceAddress) -> NetworkAddress {
    NetworkAddress {
        family: if address.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
        address: address.address.to_string(),
        netmask: address.prefix.to_string(),
        scope: match address.scope {
            Scope::Global => "global",
            Scope::Link => "link",
            Scope::Local => "local",
        }
        .into(),
    }
}

/// A count as the API writes it, where the host keeps it.
fn signed(number: Option<u64>) -> i64 {
    i64::try_from(number.unwrap_or(0)).unwrap_or(i64::MAX)
}
