//! The daemon's one error: what kind it is, what was being done, and why it failed.
//!
//! The libraries' errors come in with their kind kept; the edge ([`crate::api::respond`]) turns
//! the kind into an HTTP status and the chain into one line.

use std::error::Error as StdError;
use std::fmt;

use sc_api::ErrorKind;

/// A failure of the daemon.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What most functions of the daemon return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of its own, with nothing below it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The object is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The object is there already, or its state excludes the request.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// It is nobody's fault but ours or the machine's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A failure of something below, with what was being done.
    pub fn because(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// The same failure, with what was being done around it.
    pub fn within(self, message: impl Into<String>) -> Self {
        Self { kind: self.kind, message: message.into(), source: Some(Box::new(self)) }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain in one line, outermost first, each part said once.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            let part = error.to_string();
            // A transparent error says its source's words; twice helps nobody.
            if !text.ends_with(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            next = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) if self.message.is_empty() => source.fmt(f),
            _ => f.write_str(&self.message),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Takes a library's error as it is: its kind and its words.
macro_rules! take_over {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::because(error.kind(), "", error)
            }
        })+
    };
}

take_over!(
    sc_images::Error,
    sc_network::NetworkError,
    sc_profiles::Error,
    sc_storage::Error,
    sc_store::CommitError,
    sc_store::DocumentError,
    sc_store::Error,
    sc_store::Injected,
    sc_store::OpenError,
);

impl From<sc_sys::SysError> for Error {
    fn from(error: sc_sys::SysError) -> Self {
        let kind = match error.kind() {
            sc_sys::ErrorKind::NotFound => ErrorKind::NotFound,
            sc_sys::ErrorKind::Conflict => ErrorKind::Conflict,
            sc_sys::ErrorKind::Invalid => ErrorKind::Invalid,
            sc_sys::ErrorKind::Forbidden => ErrorKind::Forbidden,
            sc_sys::ErrorKind::Unavailable => ErrorKind::Unavailable,
            sc_sys::ErrorKind::Internal => ErrorKind::Internal,
        };
        Self::because(kind, "", error)
    }
}

impl From<sc_api::NameError> for Error {
    fn from(error: sc_api::NameError) -> Self {
        Self::because(ErrorKind::Invalid, "", error)
    }
}

/// Adds what was being done to a failure that is not the caller's fault.
pub trait Context<T> {
    /// The failure becomes an internal one with `message` around it.
    fn context(self, message: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::because(ErrorKind::Internal, message, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_part_once() {
        let below = Error::not_found("no such file");
        let above = below.within("open the image").within("create instance web1");
        assert_eq!(above.chain(), "create instance web1: open the image: no such file");
        assert_eq!(above.kind(), ErrorKind::NotFound);
    }
}
