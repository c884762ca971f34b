//! `/1.0/instances/NAME/state`: starting, stopping, and what it uses.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use sc_api::{InstanceStatePut, StateAction};

use super::extract::{Json, Path};
use super::respond;
use crate::error::{Error, Result};
use crate::instance::Instances;
use crate::instance::StopMode;
use crate::operation::NewOperation;
use crate::operation::Operations;

/// How long an orderly stop is waited for when the client does not say.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// Its state.
pub async fn get(State(instances): State<Instances>, Path(name): Path<String>) -> Result<Response> {
    let view = instances.get(&name)?.view();
    Ok(respond::sync(view.state_now().await))
}

/// Starts, stops or restarts it.
pub async fn replace(
    State(instances): State<Instances>,
    State(operations): State<Operations>,
    Path(name): Path<String>,
    Json(put): Json<InstanceStatePut>,
) -> Result<Response> {
    let instance = instances.get(&name)?;
    if put.stateful {
        return Err(Error::invalid(
            "stateful start and stop are not supported: leave stateful out",
        ));
    }
    let mode = stop_mode(&put);
    let description = match put.action {
        StateAction::Start => "Starting instance",
        StateAction::Stop => "Stopping instance",
        StateAction::Restart => "Restarting instance",
        StateAction::Freeze | StateAction::Unfreeze => {
            return Err(Error::invalid("freezing instances is not supported"));
        }
    };
    let new = NewOperation::on_instance(description, &name);
    let handle = operations.start(new, |_| async move {
        match put.action {
            StateAction::Start => instance.start().await?,
            StateAction::Stop => instance.stop(mode).await?,
            _ => instance.restart(mode).await?,
        }
        Ok(None)
    });
    Ok(respond::operation(&handle))
}

fn stop_mode(put: &InstanceStatePut) -> StopMode {
    match (put.force, u64::try_from(put.timeout)) {
        (true, _) => StopMode::Force,
        (false, Ok(seconds)) if seconds > 0 => StopMode::Orderly(Duration::from_secs(seconds)),
        (false, _) => StopMode::Orderly(DEFAULT_PATIENCE),
    }
}
