//! The API's status codes, and the words for them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A status code of an operation or an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub enum StatusCode {
    OperationCreated,
    Started,
    Stopped,
    Running,
    Cancelling,
    Pending,
    Starting,
    Stopping,
    Aborting,
    Freezing,
    Frozen,
    Thawed,
    Error,
    Ready,
    Success,
    Failure,
    Cancelled,
}

impl StatusCode {
    const ALL: [(Self, u16, &str); 17] = [
        (Self::OperationCreated, 100, "Operation created"),
        (Self::Started, 101, "Started"),
        (Self::Stopped, 102, "Stopped"),
        (Self::Running, 103, "Running"),
        (Self::Cancelling, 104, "Cancelling"),
        (Self::Pending, 105, "Pending"),
        (Self::Starting, 106, "Starting"),
        (Self::Stopping, 107, "Stopping"),
        (Self::Aborting, 108, "Aborting"),
        (Self::Freezing, 109, "Freezing"),
        (Self::Frozen, 110, "Frozen"),
        (Self::Thawed, 111, "Thawed"),
        (Self::Error, 112, "Error"),
        (Self::Ready, 113, "Ready"),
        (Self::Success, 200, "Success"),
        (Self::Failure, 400, "Failure"),
        (Self::Cancelled, 401, "Cancelled"),
    ];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        self.row().1
    }

    /// The word on the wire.
    pub fn text(self) -> &'static str {
        self.row().2
    }

    /// Whether an operation with this status has ended.
    pub fn is_final(self) -> bool {
        self.code() >= 200
    }

    /// The status with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, u16, &'static str) {
        Self::ALL.iter().find(|row| row.0 == self).expect("the table holds every status")
    }
}

impl Serialize for StatusCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.code())
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u16::deserialize(deserializer)?;
        Self::from_code(code)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown status code {code}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_found_by_its_number() {
        for (status, code, _) in StatusCode::ALL {
            assert_eq!(StatusCode::from_code(code), Some(status));
        }
    }

    #[test]
    fn an_operation_has_ended_from_200_on() {
        assert!(!StatusCode::Running.is_final());
        assert!(StatusCode::Cancelled.is_final());
    }
}
