//! What the sandboxed process and the one outside say to each other: a job goes in, reports come out, one JSON
//! document a line.
//!
//! Every report comes from a process that has read foreign bytes, so the reader bounds its size
//! and checks its content again.

use std::{collections::BTreeMap, fmt};

use sc_api::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::{Metadata, metadata::MAX_METADATA};

/// The longest line that is read: metadata and templates at their limits, written as JSON.
pub(crate) const MAX_LINE: u64 = 6 * (MAX_METADATA + MAX_TEMPLATES) + (1 << 16);

/// How many bytes all templates of an image may have together, their names counted.
pub(crate) const MAX_TEMPLATES: u64 = 4 << 20;

/// What is to be done inside, as the sandbox's payload carries it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) role: Role,
    pub(crate) total_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) files: u64,
    pub(crate) depth: u32,
    /// How many ids there are: an owner in an archive must lie below.
    pub(crate) ids: u32,
    /// How much memory decompression may take, in bytes.
    pub(crate) memory_bytes: u64,
    /// How much may be put off, in bytes.
    pub(crate) owners_bytes: u64,
}

/// Which files come in, and what is wanted of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Read metadata of a unified tarball, or of a metadata tarball and a root filesystem.
    Inspect,
    /// Unpack the same, from tarballs. The last file is the list of owners, to be written.
    Unpack,
    /// Unpack a bare root filesystem from a tarball; the list as above.
    Tree,
    /// Give the files that were unpacked what is in the list of owners.
    Owners,
    /// Unpack a bare root filesystem from a squashfs.
    Squashfs,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Step(String),
    Progress { done: u64, total: Option<u64> },
    Failed(Failure),
    Done(Outcome),
}

/// The result of a job.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) metadata: Option<Metadata>,
    pub(crate) templates: Option<BTreeMap<String, String>>,
    pub(crate) formats: Vec<String>,
    pub(crate) stats: Stats,
    /// Whether something is in the list of owners.
    pub(crate) owners: bool,
}

/// What an unpacking did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// Files, directories and links made.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Device nodes under `dev/` that were left out.
    pub dropped_devices: u64,
    /// Extended attributes left out because they mean nothing here (SELinux labels and the like).
    pub dropped_xattrs: u64,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: String,
    pub(crate) entry: Option<String>,
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// The image's.
    Image,
    /// `unsquashfs` is not installed.
    NoUnsquashfs,
    /// The machine's: a full disk, a failed read.
    Machine,
}

impl Cause {
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Image => ErrorKind::Invalid,
            Self::NoUnsquashfs => ErrorKind::Unavailable,
            Self::Machine => ErrorKind::Internal,
        }
    }
}

/// The result of work inside.
pub(crate) type Inside<T> = Result<T, Failure>;

impl Failure {
    /// The image is wrong.
    pub(crate) fn image(reason: impl Into<String>) -> Self {
        Self { step: String::new(), entry: None, reason: reason.into(), cause: Cause::Image }
    }

    /// The machine failed in an operation.
    pub(crate) fn machine(what: impl fmt::Display, source: impl fmt::Display) -> Self {
        Self {
            step: String::new(),
            entry: None,
            reason: sc_api::with_room(sc_api::without_os_errors(&format!("{what}: {source}"))),
            cause: Cause::Machine,
        }
    }

    /// Names the step, unless one is named already.
    pub(crate) fn step(mut self, step: &str) -> Self {
        if self.step.is_empty() {
            step.clone_into(&mut self.step);
        }
        self
    }

    /// Names the entry, unless one is named already.
    pub(crate) fn entry(mut self, path: &[u8]) -> Self {
        self.entry.get_or_insert_with(|| String::from_utf8_lossy(path).into_owned());
        self
    }
}
