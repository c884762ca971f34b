//! `/1.0/projects`, of which there is one, and the refusal of requests for any other, or for a
//! member of a cluster.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{ListQuery, Path, Query};
use super::respond;
use crate::error::{Error, Result};
use crate::model::PROJECT;

/// The project, and the member of a cluster, that any request may name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProjectQuery {
    project: String,
    target: String,
}

/// Lets requests for the default project of this server through.
pub async fn only_default(
    Query(query): Query<ProjectQuery>,
    request: Request,
    next: Next,
) -> Response {
    if !query.target.is_empty() {
        let text = "Target only allowed when clustered: leave out the parameter \"target\"";
        return Error::invalid(text).into_response();
    }
    match query.project.as_str() {
        "" | PROJECT => next.run(request).await,
        other => no_such(other).into_response(),
    }
}

/// Lists projects.
pub async fn list(Query(query): Query<ListQuery>) -> Response {
    match query.depth {
        0 => respond::sync(["/1.0/projects/default"]),
        _ => respond::sync([project()]),
    }
}

/// One project.
pub async fn get(Path(name): Path<String>) -> Result<Response> {
    match name.as_str() {
        PROJECT => Ok(respond::sync(project())),
        other => Err(no_such(other)),
    }
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("Project {name:?} not found: there is {PROJECT:?} only"))
}

fn project() -> Value {
    json!({
        "name": PROJECT,
        "description": "The only project",
        "config": {},
        "used_by": [],
    })
}
