//! `/1.0/events`: the websocket that sends events.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::response::Response;
use sc_api::EventType;
use serde::{Deserialize, Deserializer, de};
use tokio::sync::broadcast::error::RecvError;

use super::extract::{Query, Upgrade};
use crate::context::Ctx;
use crate::event::Listener;

/// How often a silent connection is pinged, so that a dead one is noticed.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Which events to send.
#[derive(Debug, Deserialize)]
pub struct EventsQuery {
    #[serde(rename = "type", default = "all", deserialize_with = "wanted")]
    types: Vec<EventType>,
}

/// Sends events until the listener leaves.
pub async fn listen(
    State(ctx): State<Ctx>,
    Query(query): Query<EventsQuery>,
    upgrade: Upgrade,
) -> Response {
    // Subscribed before the answer: what happens after the client has seen it is not missed.
    let listener = ctx.events.subscribe();
    upgrade.then(move |socket| forward(socket, listener, query.types))
}

fn all() -> Vec<EventType> {
    vec![EventType::Operation, EventType::Lifecycle, EventType::Logging]
}

/// The types asked for, with commas between; none asked means all.
fn wanted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EventType>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(all());
    }
    text.split(',').map(event_type).collect()
}

fn event_type<E: de::Error>(word: &str) -> Result<EventType, E> {
    match word {
        "operation" => Ok(EventType::Operation),
        "lifecycle" => Ok(EventType::Lifecycle),
        "logging" => Ok(EventType::Logging),
        other => Err(E::custom(format!("{other:?} is none of operation, lifecycle and logging"))),
    }
}

/// Why the daemon closes the connection, in the words and numbers of RFC 6455.
const ENDS: (u16, &str) = (close_code::AWAY, "the daemon has ended");

/// A listener that is too slow starts anew rather than believe it has seen all.
const TOO_SLOW: (u16, &str) = (close_code::AGAIN, "events came faster than they were read");

async fn forward(mut socket: WebSocket, listener: Listener, wanted: Vec<EventType>) {
    if let Some((code, reason)) = pass_on(&mut socket, listener, wanted).await {
        let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }
}

/// Sends events; returns why there are no more, unless it is the client that left.
async fn pass_on(
    socket: &mut WebSocket,
    mut listener: Listener,
    wanted: Vec<EventType>,
) -> Option<(u16, &'static str)> {
    let mut keepalive = tokio::time::interval(KEEPALIVE);
    loop {
        let message = tokio::select! {
            biased;
            event = listener.events.recv() => match event {
                Ok(event) if !wanted.contains(&event.event_type) => continue,
                Ok(event) => {
                    let text = serde_json::to_string(&*event).expect("an event serialises");
                    Message::Text((text + "\n").into())
                }
                Err(RecvError::Lagged(_)) => return Some(TOO_SLOW),
                Err(RecvError::Closed) => return Some(ENDS),
            },
            () = listener.ended.cancelled() => return Some(ENDS),
            _ = keepalive.tick() => Message::Ping("keepalive".into()),
            incoming = socket.recv() => match incoming {
                Some(Ok(_)) => continue,
                _ => return None,
            },
        };
        socket.send(message).await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(query: &str) -> Result<Vec<EventType>, String> {
        let uri = format!("/1.0/events{query}").parse().unwrap();
        let query = axum::extract::Query::<EventsQuery>::try_from_uri(&uri);
        query.map(|query| query.0.types).map_err(|error| error.body_text())
    }

    #[test]
    fn no_type_means_all_of_them() {
        assert_eq!(types("").unwrap().len(), 3);
        assert_eq!(types("?type=").unwrap().len(), 3);
        assert_eq!(
            types("?type=logging,lifecycle").unwrap(),
            [EventType::Logging, EventType::Lifecycle]
        );
    }

    #[test]
    fn a_type_that_there_is_not_is_refused_by_its_name() {
        let error = types("?type=lifecycle,bogus").unwrap_err();
        assert!(error.contains("\"bogus\" is none of operation"), "{error}");
    }
}
