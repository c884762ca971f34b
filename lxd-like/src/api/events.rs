//! `/1.0/events`: the websocket that sends events.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::response::Response;
use sc_api::EventType;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use super::extract::{Query, Upgrade};
use crate::context::Ctx;
use crate::event::Listener;

/// How often a silent connection is pinged, so that a dead one is noticed.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Which events to send.
#[derive(Debug, Deserialize)]
pub struct EventsQuery {
    #[serde(rename = "type")]
    types: Option<String>,
}

/// Sends events until the listener leaves.
pub async fn listen(
    State(ctx): State<Ctx>,
    Query(query): Query<EventsQuery>,
    upgrade: Upgrade,
) -> Response {
    // Subscribed before the answer: what happens after the client has seen it is not missed.
    let listener = ctx.events.subscribe();
    let wanted = wanted_types(query.types.as_deref());
    upgrade.then(move |socket| forward(socket, listener, wanted))
}

/// The types asked for; none asked means all. What is unknown is never sent, so it may be asked.
fn wanted_types(text: Option<&str>) -> Vec<EventType> {
    let known = [
        ("operation", EventType::Operation),
        ("lifecycle", EventType::Lifecycle),
        ("logging", EventType::Logging),
    ];
    match text.filter(|text| !text.is_empty()) {
        None => known.iter().map(|(_, event_type)| *event_type).collect(),
        Some(text) => text
            .split(',')
            .filter_map(|word| known.iter().find(|(name, _)| *name == word))
            .map(|(_, event_type)| *event_type)
            .collect(),
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

    #[test]
    fn no_type_means_all_and_unknown_ones_match_nothing() {
        assert_eq!(wanted_types(None).len(), 3);
        assert_eq!(wanted_types(Some("lifecycle,bogus")), [EventType::Lifecycle]);
        assert!(wanted_types(Some("bogus")).is_empty());
    }
}
