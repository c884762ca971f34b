//! Instances that start with the daemon, and stop with it when the host goes down.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::instance::{Instances, Recovered, StopMode};

/// How long each guest may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Starts the instances that are to run: those with `boot.autostart`, and without a word on it
/// those that ran when the host went down.
pub async fn start(instances: Instances, recovered: Recovered) {
    let mut restarts = JoinSet::new();
    for restart in recovered.restarts {
        let instances = instances.clone();
        restarts.spawn(async move { instances.finish_restart(restart, STOP_PATIENCE).await });
    }
    for instance in instances.list() {
        let view = instance.view();
        let wanted = match view.expanded.config.get("boot.autostart").map(String::as_str) {
            Some(value) => sc_profiles::parse_bool(value).unwrap_or(false),
            None => recovered.ran.contains(instance.name()),
        };
        if !wanted || view.phase.run().is_some() {
            continue;
        }
        if let Err(error) = instance.start().await {
            tracing::error!(instance = %instance.name(), error = %error.chain(), "autostart");
        }
    }
    restarts.join_all().await;
}

/// Stops all instances, each in order and, where that has no effect, by force.
pub async fn stop_all(instances: &Instances) {
    let mut stopping = JoinSet::new();
    for instance in instances.list() {
        if instance.view().phase.run().is_none() {
            continue;
        }
        stopping.spawn(async move {
            if instance.stop(StopMode::Orderly(STOP_PATIENCE)).await.is_err()
                && let Err(error) = instance.stop(StopMode::Force).await
            {
                tracing::error!(instance = %instance.name(), error = %error.chain(), "stop");
            }
        });
    }
    stopping.join_all().await;
}
