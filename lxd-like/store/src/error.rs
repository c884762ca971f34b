//! What can go wrong, and of which kind it is.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use sc_api::ErrorKind;

use crate::change::{MAX_BYTES, MAX_CHANGES};
use crate::key::{Key, KeyError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store in {} is in use by {holder}", dir.display())]
    Held {
        /// The folder.
        dir: PathBuf,
        /// Who, as it wrote itself down: name and pid.
        holder: String,
    },
    /// The file is not what was written. It is left as it is.
    #[error("the store {} is damaged: {detail}; it was left as it is{}", path.display(), remedy(path, copies))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        detail: String,
        /// The copies made before migrations, newest first.
        copies: Vec<PathBuf>,
    },
    /// The file is gone, but its companion is there, so that there was one.
    #[error("the store {} is not there, but {} is{}", path.display(), left.display(), remedy(path, copies))]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was found beside it.
        left: PathBuf,
        /// The copies made before migrations, newest first.
        copies: Vec<PathBuf>,
    },
    /// The log is not what was written, and more than the last transaction would be lost. It is left as it is.
    #[error(
        "the store's log {} is damaged: {detail}; it was left as it is; put it back as it was, or, to go on with \
         the commits before (all later ones are lost): truncate --size={good} {} && truncate --size={size} {}",
        path.display(), path.display(), path.display()
    )]
    Log {
        /// The log.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// How many of its bytes are good.
        good: u64,
        /// How many it is to have.
        size: u64,
    },
    /// A newer version of the software has written it.
    #[error("the store {} has schema version {found}, and this version of the software knows {known} at most{}", path.display(), remedy(path, copies))]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The newest that can be read.
        known: usize,
        /// The copies made before migrations, newest first.
        copies: Vec<PathBuf>,
    },
    /// A migration failed; the file is as it was before it.
    #[error("migrate the store {} to schema version {version}", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The version.
        version: usize,
        /// Why not.
        source: BoxError,
    },
    /// There is no room for what has to be written. Nothing is lost.
    #[error("{step} {}: no space left; make room on its file system", path.display())]
    NoSpace {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("{step} {}", path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database failed for a reason that is no damage.
    #[error("{step} {}", path.display())]
    Database {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: BoxError,
    },
}

fn remedy(path: &Path, copies: &[PathBuf]) -> String {
    let mut text = String::new();
    let file = path.display();
    if let [first, ..] = copies {
        let names = copies.iter().map(|copy| copy.display().to_string()).collect::<Vec<_>>();
        let _ = write!(
            text,
            "; copies made before its migrations: {}; to go back to one (what came later is lost), \
             move {file} and {file}-wal to another folder and copy {} to {file}",
            names.join(", "),
            first.display(),
        );
    } else {
        let _ = write!(
            text,
            "; there are no copies from migrations; to begin anew, move {file} and {file}-wal to \
             another folder",
        );
    }
    text
}

pub(crate) fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            OpenError::NoSpace { step, path }
        }
        _ => OpenError::Io { step, path, source },
    }
}

pub(crate) fn database_error(
    step: &'static str,
    path: &Path,
) -> impl FnOnce(rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => OpenError::NoSpace { step, path },
        _ => OpenError::Database { step, path, source: source.into() },
    }
}

impl OpenError {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Held { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Internal,
        }
    }
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A guarded key has changed since it was read.
    #[error("{key} was changed meanwhile")]
    Conflict {
        /// The first such key.
        key: Key,
    },
    /// Too many guards or changes.
    #[error("a commit with {count} {what}: at most {MAX_CHANGES} are possible")]
    TooMany {
        /// `guards` or `changes`.
        what: &'static str,
        /// How many there were.
        count: usize,
    },
    /// Too many bytes.
    #[error("too much to be kept at once: {bytes} bytes, and {MAX_BYTES} are the most")]
    TooLarge {
        /// How many there were.
        bytes: usize,
    },
    /// Two changes of one key.
    #[error("a commit changes {key} twice")]
    Twice {
        /// The key.
        key: Key,
    },
    /// The text of a document is no JSON.
    #[error("the document {key} is not JSON")]
    NotJson {
        /// Its key.
        key: Key,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The disk is full. Later commits may do better.
    #[error("commit to the store: no space left for {}", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// The disk or the file failed, and nothing of the commit is in it. Later commits may do better.
    #[error("commit to the store {} failed, nothing was changed: {reason}", path.display())]
    Undone {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The disk or the file failed, and the file could not be opened anew: each later commit tries that.
    #[error("commit to the store {} failed, and it takes no more until it can be opened again: {reason}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What happened first.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl CommitError {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::TooMany { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::NoSpace { .. } | Self::Undone { .. } | Self::Failed { .. } | Self::Closed => {
                ErrorKind::Unavailable
            }
            Self::Twice { .. } | Self::NotJson { .. } => ErrorKind::Internal,
        }
    }
}

/// Why a document cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Its id makes no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It cannot be written as JSON.
    #[error("write the document {key}")]
    Encode {
        /// Its key.
        key: Key,
        /// Why not.
        source: serde_json::Error,
    },
    /// What is in the store is not of its type.
    #[error("read the document {key}")]
    Decode {
        /// Its key.
        key: Key,
        /// Why not.
        source: serde_json::Error,
    },
    /// It has a version that this software cannot read.
    #[error(
        "the document {key} has version {found}, and this version of the software reads {known}"
    )]
    Version {
        /// Its key.
        key: Key,
        /// Its version.
        found: u32,
        /// The version that its type has now.
        known: u32,
    },
    /// There is none of this key.
    #[error("there is no document {key}")]
    Absent {
        /// The key.
        key: Key,
    },
}

impl DocumentError {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Key(_) => ErrorKind::Invalid,
            Self::Absent { .. } => ErrorKind::NotFound,
            _ => ErrorKind::Internal,
        }
    }
}

/// Either of the two that a change of documents can end in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document was at fault.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The commit was.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Error {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Document(error) => error.kind(),
            Self::Commit(error) => error.kind(),
        }
    }
}
