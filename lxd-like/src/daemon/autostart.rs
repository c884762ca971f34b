//! Instances that start with the daemon, and stop with it when the host goes down.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sc_api::PoolName;
use sc_profiles::Boot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::instance::{InstanceHandle, Instances, Recovered, StopMode};
use crate::manager::Pools;

/// How often a guest is looked at that somebody else has asked to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long the restarts that the daemon before this one had begun are waited for.
const RESTARTS_PATIENCE: Duration = Duration::from_secs(60);

/// Starts the instances that are to run, one after the other by their priority: those with
/// `boot.autostart`, and without a word on it those that ran when the host went down. Nobody waits for those
/// whose pool does not answer: they start when it does.
pub async fn start(pools: Pools, instances: Instances, mut recovered: Recovered) {
    let restarted: Vec<_> =
        recovered.restarts.iter().map(|restart| restart.instance().clone()).collect();
    let mut restarts = JoinSet::new();
    for restart in recovered.restarts {
        let instances = instances.clone();
        restarts.spawn(async move { instances.finish_restart(restart).await });
    }
    let ran = &recovered.ran;
    let mut wanted: Vec<_> = instances
        .list()
        .into_iter()
        .filter(|instance| !restarted.contains(instance.name()))
        .map(with_boot)
        .filter(|(instance, boot)| boot.autostart.unwrap_or_else(|| ran.contains(instance.name())))
        .collect();
    wanted.sort_by_key(|(_, boot)| Reverse(boot.start_priority));
    let is_opening = |pool: &PoolName| pools.is_opening(pool.as_str());
    let (late, wanted): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(instance, _)| is_opening(&instance.view().record.pool));
    start_when_they_can(&pools, late.into_iter().map(|(instance, _)| instance));
    for (instance, boot) in wanted {
        start_one(&instance, &boot).await;
    }
    // Out of their turn: nobody was to wait for them.
    while let Some(taken) = recovered.late.join_next().await {
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(error = chain(&error), "take up an instance");
                continue;
            }
        };
        let Ok((instance, boot)) = instances.get(taken.name.as_str()).map(with_boot) else {
            continue;
        };
        if !restarted.contains(&taken.name) && boot.autostart.unwrap_or(taken.ran) {
            start_when_they_can(&pools, [instance]);
        }
    }
    // What an agent or a pool keeps waiting is done behind.
    let all = async { while restarts.join_next().await.is_some() {} };
    if tokio::time::timeout(RESTARTS_PATIENCE, all).await.is_err() {
        tracing::warn!("some restarts are finished when their agent or pool answers");
    }
    restarts.detach_all();
}

/// Starts instances in the background, those of each pool in their order, once it has answered.
fn start_when_they_can(pools: &Pools, wanted: impl IntoIterator<Item = Arc<InstanceHandle>>) {
    let mut by_pool: BTreeMap<PoolName, Vec<_>> = BTreeMap::new();
    for instance in wanted {
        let view = instance.view();
        let (pool, used) = (view.record.pool.clone(), view.record.last_used_at);
        by_pool.entry(pool).or_default().push((instance, used));
    }
    for (pool, wanted) in by_pool {
        let pools = pools.clone();
        tokio::spawn(async move {
            pools.has_answered(pool.as_str()).await;
            for (instance, used) in wanted {
                let (instance, boot) = with_boot(instance);
                // Somebody may have started and stopped it meanwhile, or have it stay as it is.
                let untouched = instance.view().record.last_used_at == used;
                if untouched && boot.autostart != Some(false) {
                    start_one(&instance, &boot).await;
                }
            }
        });
    }
}

async fn start_one(instance: &Arc<InstanceHandle>, boot: &Boot) {
    if instance.view().phase.has_guest() {
        return;
    }
    match instance.start().await {
        Ok(()) => tokio::time::sleep(boot.start_delay).await,
        // Somebody was faster.
        Err(_) if instance.view().phase.has_guest() => {}
        Err(error) => {
            tracing::error!(instance = %instance.name(), error = %error.chain(), "autostart");
        }
    }
}

/// Stops all instances, those of one priority at once: each in order and, where that has no effect in
/// its time, by force.
pub async fn stop_all(instances: &Instances, leave: &CancellationToken) {
    // Nothing is started any more; what was just starting is waited for.
    for instance in instances.list() {
        let _ = instance.settled().await;
    }
    let mut by_priority: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (instance, boot) in instances.list().into_iter().map(with_boot) {
        if instance.view().phase.has_guest() {
            let group = by_priority.entry(Reverse(boot.stop_priority)).or_default();
            group.push(stop(instance, boot.shutdown_timeout, leave.clone()));
        }
    }
    for group in by_priority.into_values() {
        group.into_iter().collect::<JoinSet<_>>().join_all().await;
    }
}

async fn stop(instance: Arc<InstanceHandle>, timeout: Option<Duration>, leave: CancellationToken) {
    // An agent that does not answer hears of no stop in order.
    if !instance.view().phase.is_silent()
        && let Some(timeout) = timeout
        && (stop_in_order(&instance, timeout, &leave).await || leave.is_cancelled())
    {
        return;
    }
    if let Err(error) = instance.stop(StopMode::Force).await {
        tracing::error!(instance = %instance.name(), error = %error.chain(), "stop");
        return;
    }
    // An ephemeral one is gone then.
    let _ = instance.settled().await;
}

/// Whether it stops in its time. One that somebody has asked to stop already has the same from now on, also where
/// that request gives up earlier.
async fn stop_in_order(
    instance: &InstanceHandle,
    time: Duration,
    leave: &CancellationToken,
) -> bool {
    let end = Instant::now() + time;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if instance.stop(StopMode::Orderly(rest)).await.is_ok() {
            return true;
        }
        while instance.view().phase.is_stopping() && Instant::now() < end {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if !instance.view().phase.has_guest() {
            // An ephemeral one is gone then.
            let _ = instance.settled().await;
            return true;
        }
        let silent = instance.view().phase.is_silent();
        if silent || Instant::now() >= end || leave.is_cancelled() {
            return false;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// An instance, with what is said of its start and stop.
fn with_boot(instance: Arc<InstanceHandle>) -> (Arc<InstanceHandle>, Boot) {
    let boot = Boot::read(&instance.view().expanded.config).unwrap_or_else(|error| {
        tracing::error!(instance = %instance.name(), error = chain(&error),
            "read when it starts and stops");
        Boot::default()
    });
    (instance, boot)
}
