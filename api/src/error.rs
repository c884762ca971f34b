//! The kinds of failure that every library tells apart, and their HTTP statuses.

use std::fmt;

/// What kind of failure it is: the one thing that decides the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The object is not there.
    NotFound,
    /// The object is there already, or in a state that excludes the request.
    Conflict,
    /// The request is wrong.
    Invalid,
    /// The caller may not.
    Forbidden,
    /// The guard of the request (an ETag) no longer holds.
    Precondition,
    /// It cannot be done at the moment, or on this host.
    Unavailable,
    /// Everything else.
    Internal,
}

impl ErrorKind {
    /// The HTTP status.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Precondition => 412,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The kind that an HTTP status stands for.
    pub fn from_http_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            412 => Self::Precondition,
            503 => Self::Unavailable,
            400..500 => Self::Invalid,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid request",
            Self::Forbidden => "forbidden",
            Self::Precondition => "precondition failed",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_way_over_http() {
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Invalid,
            ErrorKind::Forbidden,
            ErrorKind::Precondition,
            ErrorKind::Unavailable,
            ErrorKind::Internal,
        ] {
            assert_eq!(ErrorKind::from_http_status(kind.http_status()), kind);
        }
    }
}
