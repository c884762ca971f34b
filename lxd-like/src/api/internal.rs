//! `/internal`: what the command line's `admin` verbs need, and nobody else.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::extract::Json;
use super::respond;
use crate::context::Ctx;

/// Whether the daemon is ready. It opens its socket only when it is, so an answer is a yes.
pub async fn ready() -> Response {
    respond::done()
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
