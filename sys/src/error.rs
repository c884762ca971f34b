//! The error that every function of this crate returns: operation, object, cause.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;

/// A result whose error is a [`SysError`].
pub type Result<T, E = SysError> = std::result::Result<T, E>;

/// What kind of failure it is, for callers that map errors to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object does not exist.
    NotFound,
    /// The object exists already or is in use.
    Conflict,
    /// The request makes no sense.
    Invalid,
    /// The caller may not do this.
    Forbidden,
    /// The host cannot do this, or cannot do it now.
    Unavailable,
    /// Anything else.
    Internal,
}

/// A failed operation on the host.
#[derive(Debug, thiserror::Error)]
#[error("{op} {object}")]
pub struct SysError {
    op: Cow<'static, str>,
    object: String,
    #[source]
    source: io::Error,
}

impl SysError {
    /// Makes an error from the operation (a verb, such as "open"), its object and the cause.
    pub fn new(
        op: impl Into<Cow<'static, str>>,
        object: impl Display,
        source: impl Into<io::Error>,
    ) -> Self {
        Self { op: op.into(), object: object.to_string(), source: source.into() }
    }

    /// Makes an error whose cause is a sentence and not an errno.
    pub fn message(
        op: impl Into<Cow<'static, str>>,
        object: impl Display,
        kind: io::ErrorKind,
        text: impl Into<String>,
    ) -> Self {
        Self::new(op, object, io::Error::new(kind, text.into()))
    }

    /// Returns the operation that failed.
    pub fn op(&self) -> &str {
        &self.op
    }

    /// Returns what the operation was about: a path, a name, a process.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Returns the system call's errno, if the cause was a system call.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Returns the cause.
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Whether the cause is this errno.
    pub fn is(&self, errno: i32) -> bool {
        self.errno() == Some(errno)
    }

    /// Whether a non-blocking operation had nothing to do.
    pub fn would_block(&self) -> bool {
        self.source.kind() == io::ErrorKind::WouldBlock
    }

    /// Returns what kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        use io::ErrorKind as Io;
        match self.source.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists | Io::ResourceBusy | Io::AddrInUse => ErrorKind::Conflict,
            Io::InvalidInput | Io::InvalidData | Io::InvalidFilename => ErrorKind::Invalid,
            Io::PermissionDenied => ErrorKind::Forbidden,
            Io::Unsupported | Io::TimedOut | Io::WouldBlock | Io::ConnectionRefused => {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Internal,
        }
    }
}

impl From<SysError> for io::Error {
    fn from(error: SysError) -> Self {
        io::Error::new(error.source.kind(), error)
    }
}

/// Adds operation and object to a bare error.
pub(crate) trait Context<T> {
    fn op(self, op: &'static str, object: impl Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn op(self, op: &'static str, object: impl Display) -> Result<T> {
        self.map_err(|error| SysError::new(op, object, error))
    }
}

/// Turns the return value of a raw system call into a result.
pub(crate) fn check(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_operation_and_object_and_leaves_the_cause_to_the_chain() {
        let error = SysError::new("open", "/x", io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.to_string(), "open /x");
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn kinds_follow_the_errno() {
        let kind = |errno| SysError::new("x", "y", io::Error::from_raw_os_error(errno)).kind();
        assert_eq!(kind(libc::EBUSY), ErrorKind::Conflict);
        assert_eq!(kind(libc::EPERM), ErrorKind::Forbidden);
        assert_eq!(kind(libc::EINVAL), ErrorKind::Invalid);
        assert_eq!(kind(libc::ENOSYS), ErrorKind::Unavailable);
        assert_eq!(kind(libc::EIO), ErrorKind::Internal);
    }
}
