//! `/1.0/instances/NAME/console`: the console, and its log.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sc_agent_protocol::WindowSize;
use sc_api::InstanceConsolePost;
use serde_json::Map;

use super::extract::{Json, Path};
use super::{logs, respond};
use crate::app::App;
use crate::error::{Error, Result};
use crate::instance::Instances;
use crate::instance::attach;
use crate::operation::NewOperation;
use crate::operation::Operations;

/// Attaches to the console, on websockets.
pub async fn create(
    State(instances): State<Instances>,
    State(operations): State<Operations>,
    Path(name): Path<String>,
    Json(post): Json<InstanceConsolePost>,
) -> Result<Response> {
    let run = instances.get(&name)?.reachable().await?;
    if !matches!(post.console_type.as_str(), "" | "console") {
        return Err(Error::invalid(format!(
            "console type {:?} is not supported",
            post.console_type
        )));
    }
    let size = Some(WindowSize { columns: post.width, rows: post.height })
        .filter(|size| size.columns > 0 && size.rows > 0);
    let (set, sockets) = attach::console_sockets();
    let new = NewOperation::on_instance("Showing console", &name).on_websockets(Map::new(), set);
    let link = run.link.clone();
    let handle = operations.start(new, |_| attach::run_console(link, size, post.force, sockets));
    Ok(respond::operation(&handle))
}

/// What the console has shown lately, also after the instance has stopped.
pub async fn log(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    let current = ctx.paths.console_log(&name);
    let mut text = logs::read_if_there(&current.with_extension("log.1")).await?;
    text.extend(logs::read_if_there(&current).await?);
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, Body::from(text)).into_response())
}
