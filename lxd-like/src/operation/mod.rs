//! Operations: long work as LXD defines it, started by a request and watched by whoever likes.
//!
//! ```text
//! Running ──> Success | Failure | Cancelled        (an end is kept for who comes late)
//!    └─ cancel ─> Cancelling ─> Cancelled
//! ```
//!
//! An operation is bound to nothing but the registry: the client that began it may go away.

mod progress;
mod registry;
mod sockets;

pub use progress::ProgressReporter;
pub use registry::{Handle, NewOperation, Operations, Output};
pub use sockets::{SocketSet, SocketSlot};
