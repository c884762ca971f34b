//! The hub through which events reach whoever listens.
//!
//! Sending never waits: a listener that is too slow is told how many events it missed by being
//! disconnected, and fetches the state anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sc_api::{Event, EventType, Lifecycle, Operation, Timestamp};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How many events a slow listener may lag behind before it is cut off.
const BACKLOG: usize = 1024;

/// How long the daemon's end waits for listeners that read no more.
const FAREWELL: Duration = Duration::from_millis(500);

/// The hub.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Arc<Event>>,
    ended: CancellationToken,
    listeners: TaskTracker,
}

/// One who listens. The end waits a moment until this is gone.
#[derive(Debug)]
pub struct Listener {
    /// All events from now on.
    pub events: broadcast::Receiver<Arc<Event>>,
    /// Cancelled when there will be no more.
    pub ended: CancellationToken,
    _token: TaskTrackerToken,
}

impl Events {
    /// A hub without listeners.
    pub fn new() -> Self {
        Self {
            sender: broadcast::channel(BACKLOG).0,
            ended: CancellationToken::new(),
            listeners: TaskTracker::new(),
        }
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> Listener {
        Listener {
            events: self.sender.subscribe(),
            ended: self.ended.clone(),
            _token: self.listeners.token(),
        }
    }

    /// Tells the listeners that the daemon ends, and waits until they have passed that on.
    pub async fn end(&self) {
        self.ended.cancel();
        self.listeners.close();
        let _ = tokio::time::timeout(FAREWELL, self.listeners.wait()).await;
    }

    /// An operation has changed.
    pub fn operation(&self, operation: &Operation) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let metadata = serde_json::to_value(operation).expect("an operation serialises");
        self.send(EventType::Operation, metadata);
    }

    /// Something in an object's life has happened, such as `instance-started` to
    /// `/1.0/instances/web1`.
    pub fn lifecycle(&self, action: &str, source: String) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let name = source.rsplit('/').next().unwrap_or_default().to_owned();
        let lifecycle = Lifecycle {
            action: action.to_owned(),
            source,
            context: None,
            name,
            project: "default".into(),
        };
        let metadata = serde_json::to_value(lifecycle).expect("a lifecycle event serialises");
        self.send(EventType::Lifecycle, metadata);
    }

    /// A line of the log.
    pub fn logging(&self, level: &str, message: String, context: BTreeMap<String, String>) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let metadata = serde_json::json!({
            "level": level,
            "message": message,
            "context": context,
        });
        self.send(EventType::Logging, metadata);
    }

    fn send(&self, event_type: EventType, metadata: serde_json::Value) {
        let event = Event {
            event_type,
            timestamp: Timestamp::now(),
            metadata,
            location: "none".into(),
            project: "default".into(),
        };
        // The only failure is that nobody listens.
        let _ = self.sender.send(Arc::new(event));
    }
}
