//! `/1.0/instances/NAME/exec`.

use axum::extract::State;
use axum::response::Response;
use sc_agent_protocol::ExecRequest;
use sc_api::InstanceExecPost;
use sc_sys::idmap::RANGE_SIZE;
use serde_json::{Map, Value};

use super::extract::{Json, Path};
use super::respond;
use crate::error::{Error, Result};
use crate::instance::Instances;
use crate::instance::attach;
use crate::operation::{NewOperation, Operations, Output, SocketSet};

/// Runs a program inside, on websockets.
pub async fn create(
    State(instances): State<Instances>,
    State(operations): State<Operations>,
    Path(name): Path<String>,
    Json(post): Json<InstanceExecPost>,
) -> Result<Response> {
    let instance = instances.get(&name)?;
    let run = instance.running()?;
    check(&post)?;
    let request = attach::request(&post, &instance.view().environment());
    let (set, sockets) = attach::exec_sockets(post.interactive);
    let new = NewOperation {
        metadata: Some(metadata(&request, &set)),
        sockets: Some(set),
        ..NewOperation::on_instance("Executing command", &name)
    };
    let link = run.link.clone();
    let handle = operations.start(new, |operation| async move {
        let outcome = match request.terminal {
            Some(_) => attach::run_terminal(link, request, sockets).await,
            None => attach::run_split(link, request, sockets).await,
        };
        if let Err(error) = &outcome
            && let Some(status) = attach::shell_status(error)
        {
            operation.update(Map::from_iter([("return".to_owned(), status.into())]));
        }
        outcome
    });
    Ok(respond::operation(&handle))
}

/// What clients are told of it: what runs, and how to connect.
fn metadata(request: &ExecRequest, sockets: &SocketSet) -> Output {
    let variables = request.environment.iter();
    let variables: Map<_, _> =
        variables.map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    Map::from_iter([
        ("command".to_owned(), Value::from(request.command.clone())),
        ("environment".to_owned(), variables.into()),
        ("interactive".to_owned(), request.terminal.is_some().into()),
        ("fds".to_owned(), sockets.secrets().into()),
    ])
}

fn check(post: &InstanceExecPost) -> Result<()> {
    if post.command.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("field \"command\": name a program to run"));
    }
    if post.record_output {
        return Err(Error::invalid("field \"record-output\" is not supported: use websockets"));
    }
    if !post.wait_for_websocket {
        return Err(Error::invalid("field \"wait-for-websocket\" must be true"));
    }
    for (field, id) in [("user", post.user), ("group", post.group)] {
        if id >= RANGE_SIZE {
            let last = RANGE_SIZE - 1;
            let text = format!("field {field:?}: {id} is no id in the instance: use 0 to {last}");
            return Err(Error::invalid(text));
        }
    }
    if let Some(text) = post.command.iter().find(|text| text.contains('\0')) {
        return Err(Error::invalid(format!("field \"command\": {text:?} holds a zero byte")));
    }
    let bad = |key: &str| key.is_empty() || key.contains(['=', '\0']);
    match post.environment.iter().find(|(key, value)| bad(key) || value.contains('\0')) {
        Some((key, _)) => {
            Err(Error::invalid(format!("field \"environment\": bad variable {key:?}")))
        }
        None => Ok(()),
    }
}
