//! The one error type of this crate and its classification.

use std::{io, path::PathBuf};

use sc_api::{ErrorKind, quoted};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why work on an image failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation of our own on the host failed.
    #[error("{what} {}", path.display())]
    Io {
        /// The operation, such as "open image file".
        what: &'static str,
        /// The file it was about.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The image's `metadata.yaml` is not what it must be.
    #[error("metadata.yaml of the image: {0}")]
    Metadata(String),
    /// The image is for another processor.
    #[error("image is for architecture {image}, this machine runs {host}: use an image for {host}")]
    Architecture {
        /// As the image says.
        image: String,
        /// As this machine says.
        host: String,
    },
    /// The image file is of a format that is not supported.
    #[error("{0}")]
    Format(String),
    /// The archive was refused while it was unpacked or inspected.
    #[error("{step}: {reason}{}", entry.as_ref().map(|e| format!(" (entry {})", quoted(e))).unwrap_or_default())]
    Refused {
        /// What was being done, such as "unpack root filesystem".
        step: String,
        /// The archive's entry it was about.
        entry: Option<String>,
        /// What is wrong and what to do about it.
        reason: String,
        /// Whose fault it is.
        kind: ErrorKind,
    },
    /// The process that handles foreign bytes failed by itself.
    #[error("{step}: {reason}")]
    Unpacker {
        /// What was being done.
        step: String,
        /// How it ended.
        reason: String,
    },
    /// The process that handles foreign bytes could not be set up.
    #[error("set up the unpacker's sandbox")]
    Sandbox(#[source] sc_sys::SysError),
    /// A program this needs is not installed.
    #[error("{program} is not installed: install the package {package}")]
    MissingProgram {
        /// The program or file that is needed.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A program failed.
    #[error("{step}: {program} {status}: {detail}")]
    Program {
        /// What was being done.
        step: String,
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// The last telling lines of what it printed.
        detail: String,
    },
    /// There is no such image in the store, or no such release at the remote.
    #[error("{0}")]
    NotFound(String),
    /// A name or setting cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The machine lacks something that the work needs, such as a configured mirror.
    #[error("{0}")]
    Unavailable(String),
    /// A template of the image cannot be rendered.
    #[error("render template {}: {reason}", quoted(name))]
    Template {
        /// The template's file name.
        name: String,
        /// What is wrong in it.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// Returns the classification of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
                _ => ErrorKind::Internal,
            },
            Self::Refused { kind, .. } => *kind,
            Self::Metadata(_)
            | Self::Architecture { .. }
            | Self::Format(_)
            | Self::Invalid(_)
            | Self::Template { .. } => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::MissingProgram { .. }
            | Self::Unavailable(_)
            | Self::Program { .. }
            | Self::Cancelled => ErrorKind::Unavailable,
            Self::Unpacker { .. } | Self::Sandbox(_) => ErrorKind::Internal,
        }
    }
}
