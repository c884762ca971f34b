//! Events as they happen.

use futures::StreamExt;
use sc_api::{Event, EventType};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::client::Client;
use crate::error::{BrokenBy, Error, Result};
use crate::websocket::Socket;

const PATH: &str = "/1.0/events";

/// A listener. What happens from its making on is not missed.
#[derive(Debug)]
pub struct Events {
    socket: Socket,
    farewell: Option<String>,
}

impl Client {
    /// Listens to events of these types; none means all.
    pub async fn events(&self, types: &[EventType]) -> Result<Events> {
        let names: Vec<&str> = types.iter().map(|event_type| name(*event_type)).collect();
        let path = match names.as_slice() {
            [] => PATH.to_owned(),
            names => format!("{PATH}?type={}", names.join("%2C")),
        };
        Ok(Events { socket: self.websocket(&path).await?, farewell: None })
    }
}

impl Events {
    /// The next event; `None` when the server has ended the connection.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(read(text.as_bytes())),
                Ok(Message::Binary(bytes)) => return Some(read(&bytes)),
                Ok(Message::Close(frame)) => {
                    self.farewell = frame.map(|frame| frame.reason.to_string());
                    return None;
                }
                Ok(_) => {}
                Err(error) => return Some(Err(broken(error))),
            }
        }
    }

    /// Why the server has ended the connection, where it said so.
    pub fn farewell(&self) -> Option<&str> {
        self.farewell.as_deref().filter(|reason| !reason.is_empty())
    }
}

fn broken(error: tungstenite::Error) -> Error {
    let source = match error {
        // A daemon that was killed says no word.
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            BrokenBy::Closed
        }
        other => other.into(),
    };
    Error::Broken { request: format!("GET {PATH}"), source }
}

fn read(text: &[u8]) -> Result<Event> {
    serde_json::from_slice(text).map_err(|error| Error::Unexpected {
        request: format!("GET {PATH}"),
        what: error.to_string(),
    })
}

fn name(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Operation => "operation",
        EventType::Lifecycle => "lifecycle",
        EventType::Logging => "logging",
    }
}
