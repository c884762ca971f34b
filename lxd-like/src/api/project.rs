//! `/1.0/projects`, of which there is one, and the refusal of requests for any other.

use axum::extract::{Path, Query, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::extract::ListQuery;
use super::respond;
use crate::error::{Error, Result};
use crate::model::PROJECT;

/// Lets requests for the default project through.
pub async fn only_default(
    Query(query): Query<ListQuery>,
    request: Request,
    next: Next,
) -> Response {
    match query.project.as_deref() {
        None | Some("" | PROJECT) => next.run(request).await,
        Some(_) => Error::not_found("Project not found").into_response(),
    }
}

/// Lists projects.
pub async fn list(Query(query): Query<ListQuery>) -> Response {
    match query.depth() {
        0 => respond::sync(["/1.0/projects/default"]),
        _ => respond::sync([project()]),
    }
}

/// One project.
pub async fn get(Path(name): Path<String>) -> Result<Response> {
    match name.as_str() {
        PROJECT => Ok(respond::sync(project())),
        _ => Err(Error::not_found("Project not found")),
    }
}

fn project() -> Value {
    json!({
        "name": PROJECT,
        "description": "The only project",
        "config": {},
        "used_by": [],
    })
}
