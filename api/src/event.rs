//! Events, as `/1.0/events` sends them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// An operation has changed; `metadata` is the operation.
    Operation,
    /// Something was created, changed, started ...; `metadata` is a [`Lifecycle`].
    Lifecycle,
    /// A log line.
    Logging,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub metadata: Value,
    /// The cluster member; `none` on a single server.
    #[serde(default)]
    pub location: String,
    /// The project.
    #[serde(default)]
    pub project: String,
}

/// A change in an object's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Such as `instance-started`.
    pub action: String,
    /// The object's path in the API.
    pub source: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
    /// The object's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The project.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
}
