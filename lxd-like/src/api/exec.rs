//! `/1.0/instances/NAME/exec`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sc_agent_protocol::ExecRequest;
use sc_api::exec::{PROTOCOL, SHELL_STATUS};
use sc_api::{ErrorKind, InstanceExecPost, quoted};
use sc_sys::idmap::RANGE_SIZE;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::extract::{ExecConnection, Json, Path};
use super::respond;
use crate::error::{Error, Result};
use crate::instance::attach::{self, Program, Run};
use crate::instance::{InstanceHandle, Instances};
use crate::operation::{Handle, NewOperation, Operations, Output};

/// The bytes that a path may have, without the zero at its end.
const PATH_MAX: usize = 4095;

/// Runs a program inside, on websockets or on the connection of the request.
pub async fn create(
    State(instances): State<Instances>,
    State(operations): State<Operations>,
    Path(name): Path<String>,
    ExecConnection(connection): ExecConnection,
    Json(post): Json<InstanceExecPost>,
) -> Result<Response> {
    let instance = instances.get(&name)?;
    let run = instance.reachable().await?;
    let place = Place { reboots: run.observed().reboots, run, instance };
    check(&post)?;
    let request = attach::request(&post, &place.instance.view().environment());
    let new = NewOperation::on_instance("Executing command", &name);
    if let Some(connection) = connection {
        let new = new.conversation(metadata(&request));
        return on_connection(&operations, new, place, request, connection).await;
    }
    if !post.wait_for_websocket {
        return Err(Error::invalid("field \"wait-for-websocket\" must be true"));
    }
    let (set, sockets) = attach::exec_sockets(post.interactive);
    let new = new.on_websockets(metadata(&request), set);
    let handle = operations.start(new, |operation| async move {
        let link = place.run.link.clone();
        let outcome = match request.terminal {
            Some(_) => attach::run_terminal(link, request, sockets).await,
            None => attach::run_split(link, request, sockets).await,
        };
        match outcome {
            Err(error) => Err(place.failed(&operation, error).await),
            done => done,
        }
    });
    Ok(respond::operation(&handle))
}

/// Where a program is started.
struct Place {
    instance: Arc<InstanceHandle>,
    run: Arc<Run>,
    /// How often its guest had rebooted before.
    reboots: u32,
}

impl Place {
    /// Why a program could not be started here; notes what a shell shows for that.
    async fn failed(&self, operation: &Handle, error: Error) -> Error {
        let error = self.instance.cause_inside(error, &self.run, self.reboots).await;
        if let Some(status) = attach::shell_status(&error) {
            operation.update(Map::from_iter([(SHELL_STATUS.to_owned(), status.into())]));
        }
        error
    }
}

/// Why a program was not started: the kind of failure, and the words for it.
type NotStarted = (ErrorKind, String, Option<i32>);

/// Starts a program, and answers with that or with why it could not be.
async fn on_connection(
    operations: &Operations,
    new: NewOperation,
    place: Place,
    request: ExecRequest,
    connection: OnUpgrade,
) -> Result<Response> {
    let (tell, told) = oneshot::channel::<Result<(), NotStarted>>();
    let handle = operations.start(new, |operation| async move {
        let program = match Program::start(place.run.link.clone(), request).await {
            Ok(program) => program,
            Err(error) => {
                let error = place.failed(&operation, error).await;
                let why = (error.kind(), error.chain(), attach::shell_status(&error));
                let _ = tell.send(Err(why));
                return Err(error);
            }
        };
        let _ = tell.send(Ok(()));
        match connection.await {
            Ok(connection) => program.serve(TokioIo::new(connection)).await,
            Err(_gone) => program.abandon().await,
        }
    });
    match told.await {
        Ok(Ok(())) => Ok(respond::switched(PROTOCOL, &handle)),
        Ok(Err((kind, text, status))) => Ok(respond::not_started(kind, &text, status)),
        Err(_) => Err(Error::internal("start a program inside: see the daemon's log")),
    }
}

/// What clients are told of it.
fn metadata(request: &ExecRequest) -> Output {
    let variables = request.environment.iter();
    let variables: Map<_, _> =
        variables.map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    Map::from_iter([
        ("command".to_owned(), Value::from(request.command.clone())),
        ("environment".to_owned(), variables.into()),
        ("interactive".to_owned(), request.terminal.is_some().into()),
    ])
}

fn check(post: &InstanceExecPost) -> Result<()> {
    if post.command.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("field \"command\": name a program to run"));
    }
    if post.record_output {
        return Err(Error::invalid("field \"record-output\" is not supported: use websockets"));
    }
    for (field, id) in [("user", post.user), ("group", post.group)] {
        if id >= RANGE_SIZE {
            let last = RANGE_SIZE - 1;
            let text = format!("field {field:?}: {id} is no id in the instance: use 0 to {last}");
            return Err(Error::invalid(text));
        }
    }
    check_words(post)
}

/// Refuses what the kernel takes from nobody.
fn check_words(post: &InstanceExecPost) -> Result<()> {
    let bad = |field: &str, what: String| Err(Error::invalid(format!("field {field:?}: {what}")));
    if let Some(text) = post.command.iter().find(|text| text.contains('\0')) {
        return bad("command", format!("{} holds a zero byte", quoted(text)));
    }
    if post.cwd.contains('\0') {
        return bad("cwd", format!("{} holds a zero byte", quoted(&post.cwd)));
    }
    if post.cwd.len() > PATH_MAX {
        let (cwd, length) = (quoted(&post.cwd), post.cwd.len());
        return bad("cwd", format!("{cwd} has {length} bytes: a path has {PATH_MAX} at most"));
    }
    let is_bad = |key: &str| key.is_empty() || key.contains(['=', '\0']);
    match post.environment.iter().find(|(key, value)| is_bad(key) || value.contains('\0')) {
        Some((key, _)) => bad("environment", format!("bad variable {}", quoted(key))),
        None => Ok(()),
    }
}
