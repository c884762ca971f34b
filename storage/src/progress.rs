//! How long work tells how far it is, and learns that nobody wants it any more.

use std::ops::ControlFlow;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes of file content dealt with, holes not counted.
    pub bytes: u64,
    /// Files, directories and links made.
    pub entries: u64,
    /// Bytes in all, once they are known.
    pub total_bytes: Option<u64>,
}

/// Takes reports, from several threads, at most about ten a second; `Break` cancels the work.
pub type ProgressSink<'a> = dyn Fn(Progress) -> ControlFlow<()> + Sync + 'a;

/// A sink that neither looks nor cancels.
pub fn no_progress(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
