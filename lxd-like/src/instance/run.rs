//! One run of an instance: from the start of its agent to the end of its guest.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use sc_agent_protocol::{Exit, InitKind, Interface};
use sc_store::IntentId;
use sc_sys::cgroup::InstanceCgroup;
use tokio::sync::mpsc;

use super::agent::{AgentEvent, AgentLink};
use crate::model::RunPlan;

/// One run of an instance.
#[derive(Debug)]
pub struct Run {
    /// What stands outside for it.
    pub plan: RunPlan,
    /// Its agent.
    pub link: Arc<AgentLink>,
    /// Its cgroup.
    pub cgroup: Arc<InstanceCgroup>,
    /// What its agent has told so far.
    pub observed: RwLock<Observed>,
}

/// What an agent tells of its guest.
#[derive(Debug, Clone)]
pub struct Observed {
    /// PID 1's pid on the host.
    pub pid: u32,
    /// Which init it is.
    pub init: InitKind,
    /// How often the guest has rebooted itself.
    pub reboots: u32,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
}

impl Run {
    /// What its agent has told last.
    pub fn observed(&self) -> Observed {
        self.observed.read().expect("no panic while observations are locked").clone()
    }

    /// Notes what the agent tells.
    pub fn observe(&self, change: impl FnOnce(&mut Observed)) {
        change(&mut self.observed.write().expect("no panic while observations are locked"));
    }
}

/// An instance that runs, as its owner holds it.
#[derive(Debug)]
pub(super) struct Active {
    pub run: Arc<Run>,
    /// The journal's entry of the run.
    pub intent: IntentId,
    events: mpsc::UnboundedReceiver<AgentEvent>,
    /// What its agent has told already, before `events`.
    told: VecDeque<AgentEvent>,
    /// How the guest ended, once it has.
    pub exit: Option<Exit>,
}

impl Active {
    /// A run whose agent tells `events`.
    pub fn new(
        run: Arc<Run>,
        intent: IntentId,
        events: mpsc::UnboundedReceiver<AgentEvent>,
    ) -> Self {
        Self { run, intent, events, told: VecDeque::new(), exit: None }
    }

    /// With what its agent has told before, and nobody has obeyed.
    pub fn after(self, told: VecDeque<AgentEvent>) -> Self {
        Self { told, ..self }
    }

    /// What its agent tells next. May be given up and asked for again.
    pub async fn next_event(&mut self) -> AgentEvent {
        match self.told.pop_front() {
            Some(event) => event,
            None => self.events.recv().await.unwrap_or(AgentEvent::Gone),
        }
    }
}
