//! `/internal`: what the command line's `admin` verbs need, and nobody else.

use axum::extract::State;
use axum::response::Response;
use sc_api::ErrorKind;
use serde::Deserialize;

use super::extract::Json;
use super::respond;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Whether the daemon has started what it starts by itself, but for instances whose pool does not answer.
pub async fn ready(State(ctx): State<Ctx>) -> Result<Response> {
    match ctx.ready.is_cancelled() {
        true => Ok(respond::done()),
        false => Err(Error::new(ErrorKind::Unavailable, "instances are being started: wait")),
    }
}

/// How to end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ShutdownPut {
    /// Leave the guests running.
    leave: bool,
}

/// Ends the daemon: it stops its guests in order first.
pub async fn shutdown(State(ctx): State<Ctx>, Json(put): Json<ShutdownPut>) -> Response {
    match put.leave {
        true => ctx.shutdown.leave.cancel(),
        false => ctx.shutdown.stop_guests.cancel(),
    }
    respond::done()
}
