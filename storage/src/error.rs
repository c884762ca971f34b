//! What can go wrong in a pool.

use std::io;
use std::path::PathBuf;

use sc_api::{ErrorKind, quoted};

use crate::driver::BoxError;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{step} {}", path.display())]
    Io {
        /// What was being done, such as `rename`.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The pool's file system is full.
    #[error(
        "{step} {}: the storage pool's file system is full: make room, or use another pool",
        path.display()
    )]
    Full {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// A step on the way to the guest's root file system failed in the kernel's mount calls.
    #[error("mount image {image}")]
    Mount {
        /// The image's fingerprint.
        image: String,
        /// Why not.
        source: BoxError,
    },
    /// What the caller was to fill in failed.
    #[error("unpack image {image}")]
    Fill {
        /// The image's fingerprint.
        image: String,
        /// What the caller's code returned.
        source: BoxError,
    },
    /// No image of this fingerprint is in the pool.
    #[error("no image {image} in the storage pool")]
    NoImage {
        /// The image's fingerprint.
        image: String,
    },
    /// No such volume is in the pool.
    #[error("no volume {} in the storage pool", quoted(name))]
    NoVolume {
        /// The volume's name.
        name: String,
    },
    /// What lies in a volume's place is no usable one.
    #[error("{} is no usable volume: {reason}", path.display())]
    Volume {
        /// The volume's place.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is one already.
    #[error("{what} {} exists already", quoted(name))]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Somebody holds its lock.
    #[error("{what} {} is in use", quoted(name))]
    InUse {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The name cannot be one.
    #[error("invalid {what} name {}", quoted(name))]
    Name {
        /// What it was to name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// No such driver.
    #[error("unknown storage driver {}: this version has dir and overlay", quoted(driver))]
    UnknownDriver {
        /// The driver asked for.
        driver: String,
    },
    /// The folder is no pool, or one of another version.
    #[error("{} is no usable storage pool: {reason}", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The pool's path leads to something else since it was opened.
    #[error(
        "{} is no longer the storage pool that was opened there: mount or move it back",
        path.display()
    )]
    Moved {
        /// The pool's path.
        path: PathBuf,
    },
    /// An option is not known to the driver.
    #[error("storage driver {driver} has no option {}", quoted(option))]
    UnknownOption {
        /// The driver.
        driver: &'static str,
        /// The option.
        option: String,
    },
    /// The progress sink asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoImage { .. } | Self::NoVolume { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::InUse { .. } => ErrorKind::Conflict,
            Self::Name { .. } | Self::UnknownDriver { .. } | Self::UnknownOption { .. } => {
                ErrorKind::Invalid
            }
            Self::Format { .. }
            | Self::Volume { .. }
            | Self::Moved { .. }
            | Self::Full { .. }
            | Self::Cancelled => ErrorKind::Unavailable,
            Self::Io { .. } | Self::Mount { .. } | Self::Fill { .. } => ErrorKind::Internal,
        }
    }

    /// Makes a converter of system errors that names step and path.
    pub(crate) fn io<E: Into<io::Error>>(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| match source.into() {
            full if full.kind() == io::ErrorKind::StorageFull => Self::Full { step, path },
            source => Self::Io { step, path, source },
        }
    }
}
