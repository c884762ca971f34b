//! The control groups of a run, which are made beside everything else: a group in each of the host's hierarchies
//! takes as long as the agent takes to begin.

use std::sync::Arc;

use sc_sys::cgroup::InstanceCgroup;
use tokio::task::JoinHandle;

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::RunPlan;

/// Control groups in the making. Whoever gives the run up waits for their end first: what is made after they
/// were taken away would stay.
#[derive(Debug)]
pub(in crate::instance) struct Grouping(Option<JoinHandle<Result<Arc<InstanceCgroup>>>>);

impl Grouping {
    /// Begins to make those of a run that is written down.
    pub fn begin(ctx: &Ctx, plan: &RunPlan) -> Self {
        let (ctx, id, base) = (ctx.clone(), plan.cgroup(), plan.id_base);
        let span = tracing::debug_span!("start: cgroup");
        Self(Some(tokio::task::spawn_blocking(move || {
            let _within = span.entered();
            Ok(Arc::new(ctx.host.cgroups.create_instance(&id, (base, base))?))
        })))
    }

    /// The groups, once they are made.
    pub async fn end(&mut self) -> Result<Arc<InstanceCgroup>> {
        let making =
            self.0.as_mut().ok_or_else(|| Error::internal("the control groups were had"))?;
        let made = making.await;
        self.0 = None;
        made.unwrap_or_else(|error| Err(Error::internal(format!("a worker ended early: {error}"))))
    }

    /// Waits until nothing is made any more.
    pub async fn settle(mut self) {
        if self.0.is_some() {
            // Whether they were made shows when they are taken away.
            let _ = self.end().await;
        }
    }
}
