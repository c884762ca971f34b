//! Operations: the long work that a request starts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::{StatusCode, Timestamp};

/// How an operation is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationClass {
    /// Work in the background.
    Task,
    /// Websockets to connect to.
    Websocket,
    /// A secret to be used once.
    Token,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// A UUID.
    pub id: String,
    /// How it is used.
    pub class: OperationClass,
    /// What it does, in words.
    pub description: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The status in words.
    pub status: String,
    /// The status.
    pub status_code: StatusCode,
    /// What it works on: kinds to paths of the API.
    #[serde(default)]
    pub resources: BTreeMap<String, Vec<String>>,
    /// Its progress and result.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// Whether a DELETE ends it.
    pub may_cancel: bool,
    /// The error's text when it failed, else empty.
    #[serde(default)]
    pub err: String,
    /// The cluster member; `none` on a single server.
    #[serde(default)]
    pub location: String,
}

impl Operation {
    /// The name of the first resource of a kind, the last segment of its path.
    pub fn resource_name(&self, kind: &str) -> Option<&str> {
        self.resources.get(kind)?.first()?.rsplit('/').next()
    }

    /// Its progress, where it reports any.
    pub fn progress(&self) -> Option<Progress> {
        let value = self.metadata.as_ref()?.get("progress")?;
        serde_json::from_value(value.clone()).ok()
    }
}

/// How far an operation is, under `metadata.progress`. The values are text, as LXD's are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The step in words.
    #[serde(default)]
    pub stage: String,
    /// Percent done, where that is known.
    #[serde(default)]
    pub percent: String,
    /// Bytes per second, where bytes are what is counted.
    #[serde(default)]
    pub speed: String,
    /// Bytes done.
    #[serde(default)]
    pub processed: String,
}
