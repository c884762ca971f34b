//! The envelope around every answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which of the three kinds of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseType {
    /// The result is in `metadata`.
    Sync,
    /// An operation was started; it is in `metadata`.
    Async,
    /// It failed.
    Error,
}

/// An answer. `T` is what `metadata` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T = Value> {
    /// Which kind of answer.
    #[serde(rename = "type")]
    pub response_type: ResponseType,
    /// The status in words; empty for an error.
    #[serde(default)]
    pub status: String,
    /// The status as a number; 0 for an error.
    #[serde(default)]
    pub status_code: u16,
    /// The operation's path, where there is one.
    #[serde(default)]
    pub operation: String,
    /// The HTTP status of an error, else 0.
    #[serde(default)]
    pub error_code: u16,
    /// The error's text, else empty.
    #[serde(default)]
    pub error: String,
    /// The result.
    pub metadata: T,
}

impl<T> Envelope<T> {
    /// The result itself.
    pub fn sync(metadata: T) -> Self {
        Self {
            response_type: ResponseType::Sync,
            status: "Success".into(),
            status_code: 200,
            operation: String::new(),
            error_code: 0,
            error: String::new(),
            metadata,
        }
    }

    /// An operation that was started, at `path`.
    pub fn operation(path: String, metadata: T) -> Self {
        Self {
            response_type: ResponseType::Async,
            status: "Operation created".into(),
            status_code: 100,
            operation: path,
            error_code: 0,
            error: String::new(),
            metadata,
        }
    }
}

impl Envelope<Value> {
    /// A failure with its HTTP status.
    pub fn error(code: u16, text: impl Into<String>) -> Self {
        Self {
            response_type: ResponseType::Error,
            status: String::new(),
            status_code: 0,
            operation: String::new(),
            error_code: code,
            error: text.into(),
            metadata: Value::Null,
        }
    }
}
