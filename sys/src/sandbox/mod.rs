//! A process for foreign bytes that is nobody on the host.

use std::io;

/// Why a sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct Error {
    /// What was being done.
    pub step: String,
    /// The cause.
    #[source]
    pub source: io::Error,
}
