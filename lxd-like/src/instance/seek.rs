//! Finding a run again: after a restart of the daemon, and when the connection to its agent has broken.
//!
//! Only an agent that has gone for sure took its guest along. One that does not answer (it is stopped, or
//! the machine overloaded), and one that cannot be asked for want of memory or descriptors, is waited for:
//! its guest is not to die of that.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use sc_agent_protocol::Phase as AgentPhase;
use sc_store::IntentId;
use sc_sys::idmap::{IdRange, RANGE_SIZE};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::agent::{AgentEvent, AgentLink, GREETING_PAUSE};
use super::run::{Active, Run};
use super::start;
use crate::context::Ctx;
use crate::error::{Result, chain};
use crate::model::RunPlan;

/// How long whoever is in charge waits for an agent before it does other things.
const AT_ONCE: Duration = Duration::from_secs(3);

/// The longest that an agent which cannot be reached is let alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What an agent answers to a greeting.
type Greeted = (AgentLink, AgentPhase, mpsc::UnboundedReceiver<AgentEvent>);

/// A run that is looked for.
#[derive(Debug)]
pub(super) struct Search {
    pub plan: RunPlan,
    /// The journal's entry of the run.
    pub intent: IntentId,
    found: JoinHandle<Option<Active>>,
}

impl Search {
    /// Begins to look for it.
    pub fn begin(ctx: &Ctx, intent: IntentId, plan: RunPlan) -> Self {
        let (ctx, sought) = (ctx.clone(), plan.clone());
        let found = tokio::spawn(async move { find(&ctx, intent, &sought).await });
        Self { plan, intent, found }
    }

    /// Waits for its end, as long as that takes: the run, or nothing where its agent has gone.
    pub async fn end(&mut self) -> Option<Active> {
        match (&mut self.found).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(instance = %self.plan.instance, error = chain(&error), "look for a running guest");
                std::future::pending().await
            }
        }
    }

    /// Waits for its end for a moment; returns the search where it goes on.
    ///
    /// # Errors
    ///
    /// The search, when it is not at its end.
    pub async fn end_at_once(mut self) -> Result<Option<Active>, Self> {
        match tokio::time::timeout(AT_ONCE, self.end()).await {
            Ok(found) => Ok(found),
            Err(_) => {
                tracing::error!(instance = %self.plan.instance,
                    "a running guest is not taken up again until its agent answers");
                Err(self)
            }
        }
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.found.abort();
    }
}

async fn find(ctx: &Ctx, intent: IntentId, plan: &RunPlan) -> Option<Active> {
    let socket = ctx.paths.agent_socket(plan.run);
    let mut pause = GREETING_PAUSE;
    loop {
        let found = async {
            let greeted = AgentLink::connect(&socket).await?;
            reconnect(ctx, intent, plan, greeted).await
        };
        match found.await {
            Ok(found) => return found,
            // A connection may end under a greeting; an agent that has gone listens no more.
            Err(_) if AgentLink::has_gone(&socket) => return None,
            Err(error) => {
                tracing::warn!(instance = %plan.instance, error = %error.chain(), "reach an agent");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// The run, where its guest had come to boot and has not ended.
async fn reconnect(
    ctx: &Ctx,
    intent: IntentId,
    plan: &RunPlan,
    (link, phase, events): Greeted,
) -> Result<Option<Active>> {
    let Some(mut observed) = start::observed(&phase) else { return Ok(None) };
    observed.interfaces = link.interfaces().await.unwrap_or_default();
    let cgroup = Arc::new(ctx.host.cgroups.instance(&plan.cgroup())?);
    if let Some(range) = IdRange::new(plan.id_base, RANGE_SIZE) {
        let owner = ctx.host.id_owner(plan.instance.as_str());
        if let Err(error) = ctx.host.ids.claim_exact(&owner, range) {
            tracing::error!(instance = %plan.instance, error = chain(&error), "hold the id range of a running guest");
        }
    }
    tracing::info!(instance = %plan.instance, pid = observed.pid, "found a running guest again");
    let run =
        Run { plan: plan.clone(), link: Arc::new(link), cgroup, observed: RwLock::new(observed) };
    Ok(Some(Active::new(Arc::new(run), intent, events)))
}
