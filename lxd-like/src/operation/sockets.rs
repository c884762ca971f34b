//! The websockets of one operation: each has a secret, is connected once, and the work waits for
//! the ones it needs.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::extract::ws::WebSocket;
use rand::Rng;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// The name of a websocket within its operation: `0`, `1`, `2`, `control`.
pub type SocketSlot = &'static str;

/// The websockets of one operation.
#[derive(Debug)]
pub struct SocketSet {
    waiting: Mutex<BTreeMap<String, oneshot::Sender<WebSocket>>>,
    secrets: BTreeMap<SocketSlot, String>,
}

impl SocketSet {
    /// Makes a secret for each name; the receivers bring the sockets when clients connect.
    pub fn new(names: &[SocketSlot]) -> (Self, BTreeMap<SocketSlot, oneshot::Receiver<WebSocket>>) {
        let mut waiting = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        let mut receivers = BTreeMap::new();
        for name in names {
            let secret = new_secret();
            let (sender, receiver) = oneshot::channel();
            waiting.insert(secret.clone(), sender);
            secrets.insert(*name, secret);
            receivers.insert(*name, receiver);
        }
        (Self { waiting: Mutex::new(waiting), secrets }, receivers)
    }

    /// The `fds` object of the operation's metadata.
    pub fn secrets(&self) -> Map<String, Value> {
        self.secrets.iter().map(|(name, secret)| ((*name).into(), secret.clone().into())).collect()
    }

    /// Takes the place that `secret` opens; each secret serves once.
    pub fn claim(&self, secret: &str) -> Result<oneshot::Sender<WebSocket>> {
        let mut waiting = self.waiting.lock().expect("no panic while the sockets are locked");
        waiting
            .remove(secret)
            .ok_or_else(|| Error::new(sc_api::ErrorKind::Forbidden, "unknown or used secret"))
    }
}

fn new_secret() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_opens_its_place_once() {
        let (set, receivers) = SocketSet::new(&["0", "control"]);
        assert_eq!(receivers.len(), 2);
        let secrets = set.secrets();
        let secret = secrets["0"].as_str().unwrap();
        assert_eq!(secret.len(), 64);
        assert!(set.claim(secret).is_ok());
        assert!(set.claim(secret).is_err());
        assert!(set.claim("guessed").is_err());
    }
}
