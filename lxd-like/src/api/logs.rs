//! `/1.0/instances/NAME/logs`.

use std::path::Path as FilePath;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::extract::Path;
use super::respond;
use crate::app::App;
use crate::error::{Context, Error, Result};

/// The files that may be asked for.
const FILES: [&str; 2] = ["lxc.log", "console.log"];

/// Lists the log files there are.
pub async fn list(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    let dir = ctx.paths.logs(&name);
    let there = FILES.iter().filter(|file| dir.join(file).exists());
    let paths: Vec<_> = there.map(|file| format!("/1.0/instances/{name}/logs/{file}")).collect();
    Ok(respond::sync(paths))
}

/// One log file.
pub async fn get(
    State(App { ctx, instances, .. }): State<App>,
    Path((name, file)): Path<(String, String)>,
) -> Result<Response> {
    instances.get(&name)?;
    if !FILES.contains(&file.as_str()) {
        return Err(Error::not_found(format!(
            "no log file {file:?}: there are {}",
            FILES.join(", ")
        )));
    }
    let text = read_if_there(&ctx.paths.logs(&name).join(file)).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from(text)).into_response())
}

/// A file's content; empty where there is none.
pub async fn read_if_there(path: &FilePath) -> Result<Vec<u8>> {
    match tokio::fs::read(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.context(format!("read {}", path.display())),
    }
}
