//! A program's streams on one connection: our own way to `exec`, beside LXD's websockets.
//!
//! ```text
//! client                                         server
//!   POST .../exec, Upgrade: sc-exec/1  ────────>   starts the program
//!   <──────── 101 Switching Protocols, or an error as to any request
//!   Stdin, Resize, Signal, Credit  ────────>
//!                                  <────────  Stdout, Stderr, Credit
//!                                  <────────  Exit, and the connection's end
//! ```
//!
//! Both sides read all the time, so that an end is noticed at once, and keep what their own reader
//! has not taken yet. That is never more than [`WINDOW`] a stream: whoever sends has as much credit
//! on each, and gets more as the other side passes bytes on.

mod frame;
mod window;

pub use frame::{DATA_MAX, ExecFrame, ExecStream, FrameBuffer, FrameError, HEADER};
pub use window::{Overrun, ReceiveWindow, SendWindow, WINDOW};

/// What a request's `Upgrade` header asks for, and the answer's grants.
pub const PROTOCOL: &str = "sc-exec/1";

/// The name in `api_extensions`.
pub const EXTENSION: &str = "sc_exec_stream";

/// The key under `metadata` of a refusal: the status that a shell shows for it (127 or 126), where
/// it was the program that could not be started.
pub const SHELL_STATUS: &str = "return";
