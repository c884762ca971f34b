//! How long work tells what it is doing, and how it is told to stop.

/// A sink for the progress of one long piece of work, and its stop button.
///
/// Implementations are called from the thread that does the work, often (per buffer, per line of a
/// tool's output), so they should be cheap and must not block.
pub trait Progress: Send + Sync {
    /// A new step begins: a short human name such as "unpacking" or "installing packages".
    fn step(&self, name: &str);

    /// How far the current step is: bytes done, and out of how many where that is known.
    fn bytes(&self, done: u64, total: Option<u64>);

    /// How far a step is that counts something else, such as packages.
    fn items(&self, done: u64, total: Option<u64>) {
        let _ = (done, total);
    }

    /// Whether the work should stop; asked at least ten times a second. Work that stops because of
    /// this returns [`crate::Error::Cancelled`] and has ended every process it started.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A sink that drops everything and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _name: &str) {}
    fn bytes(&self, _done: u64, _total: Option<u64>) {}
}
