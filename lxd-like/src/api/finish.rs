//! What changes something is carried out to its end, also when its client has gone meanwhile: half of
//! it done would be neither what there was nor what was asked for.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::task::TaskTracker;

use super::respond;

/// Answers a request; one that may change something in a task of its own, which `requests` counts.
pub async fn to_the_end(
    State(requests): State<TaskTracker>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match requests.spawn(next.run(request)).await {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(%panic, "a request ended early");
            let text = "the request was interrupted: see the daemon's log";
            respond::failure(StatusCode::INTERNAL_SERVER_ERROR, text.to_owned())
        }
    }
}
