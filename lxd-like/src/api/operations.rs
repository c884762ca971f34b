//! `/1.0/operations`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Deserializer};

use super::extract::{ListQuery, Path, Query, Upgrade};
use super::respond;
use crate::error::{Error, Result};
use crate::operation::Operations;

/// Lists operations by their status.
pub async fn list(
    State(operations): State<Operations>,
    Query(query): Query<ListQuery>,
) -> Response {
    let mut by_status: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for operation in operations.list() {
        let key = operation.status.to_lowercase();
        let item = match query.depth {
            0 => format!("/1.0/operations/{}", operation.id).into(),
            _ => serde_json::to_value(&operation).expect("an operation serialises"),
        };
        by_status.entry(key).or_default().push(item);
    }
    respond::sync(by_status)
}

/// One operation.
pub async fn get(State(operations): State<Operations>, Path(id): Path<String>) -> Result<Response> {
    Ok(respond::sync(operations.get(&id)?.view()))
}

/// Cancels an operation.
pub async fn delete(
    State(operations): State<Operations>,
    Path(id): Path<String>,
) -> Result<Response> {
    operations.cancel(&id)?;
    Ok(respond::done())
}

/// How long to wait.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct WaitQuery {
    /// Seconds; negative or empty means without end.
    #[serde(deserialize_with = "seconds")]
    timeout: Option<u64>,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = if text.is_empty() { Ok(-1) } else { text.parse::<i64>() };
    let bad = |_| serde::de::Error::custom(format!("{text:?} is no number of seconds"));
    Ok(u64::try_from(number.map_err(bad)?).ok())
}

/// Waits for an operation's end, or for the timeout, and answers with what it is by then.
pub async fn wait(
    State(operations): State<Operations>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Result<Response> {
    let handle = operations.get(&id)?;
    let operation = match query.timeout {
        None => handle.ended().await,
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), handle.ended())
            .await
            .unwrap_or_else(|_| handle.view()),
    };
    Ok(respond::sync(operation))
}

/// The secret of a websocket.
#[derive(Debug, Deserialize)]
pub struct SocketQuery {
    secret: Option<String>,
}

/// Connects one of the operation's websockets.
pub async fn websocket(
    State(operations): State<Operations>,
    Path(id): Path<String>,
    Query(query): Query<SocketQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    let handle = operations.get(&id)?;
    let secret = query.secret.ok_or_else(|| Error::invalid("missing secret"))?;
    let sockets = handle.sockets().ok_or_else(|| Error::invalid("not a websocket operation"))?;
    let place = sockets.claim(&secret)?;
    Ok(upgrade.then(move |socket| async move {
        // Nobody waits for it any more when the operation has ended: the socket closes.
        let _ = place.send(socket);
    }))
}
