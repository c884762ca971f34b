//! What is not built of instances, below their paths: lists of it are empty, as clients ask for them
//! to show an instance; anything else is refused by name.

use axum::extract::State;
use axum::response::Response;

use super::extract::Path;
use super::respond;
use crate::error::{Error, Result};
use crate::instance::Instances;

/// Lists snapshots or backups: there are none.
pub async fn list(
    State(instances): State<Instances>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    Ok(respond::sync([(); 0]))
}

/// One snapshot or backup: there is none.
pub async fn get(
    State(instances): State<Instances>,
    Path((name, object)): Path<(String, String)>,
) -> Result<Response> {
    instances.get(&name)?;
    Err(Error::not_found(format!("{object:?} of instance {name:?} not found")))
}

/// A snapshot that is to be made.
pub async fn create_snapshot(
    State(instances): State<Instances>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    Err(Error::invalid("snapshots are not supported"))
}

/// A backup that is to be made.
pub async fn create_backup(
    State(instances): State<Instances>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    Err(Error::invalid("backups and exports of instances are not supported"))
}

/// Files that are to be read or written.
pub async fn files(
    State(instances): State<Instances>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    Err(Error::invalid(
        "pushing and pulling files is not supported: send them through exec, as to `tar -x`",
    ))
}
