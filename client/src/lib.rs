//! A typed client of the REST API, over the daemon's unix socket.
//!
//! ```text
//! Client ── transport   one kept connection, more when requests overlap
//!   │        error      what failed, and what to do about it
//!   ├─ server instances images profiles networks storage operations   one file a resource
//!   ├─ operation        waits for long work, with progress
//!   ├─ patience         tells of answers that are long in coming
//!   ├─ exec             on the request's connection, or as LXD has it
//!   └─ websocket ── events console exec
//! ```
//!
//! It starts nothing that a single request does not need: no TLS, no pool, no look at the server
//! first. A request, its operation and the wait for its end go over the same connection, and so does
//! all that a program reads and writes. Streams are as fast as their reader: what is not taken stays
//! with the sender.
#![warn(missing_docs)]

mod body;
mod client;
mod console;
mod error;
mod events;
mod exec;
mod images;
mod instances;
mod networks;
mod operation;
mod operations;
mod patience;
mod profiles;
mod resource;
mod server;
mod storage;
mod stream;
mod transport;
mod upload;
mod websocket;

pub use client::{Client, RawResponse};
pub use console::{ConsoleEnd, DETACH_KEYS};
pub use error::{Absence, Error, Result};
pub use events::Events;
pub use exec::{ExecControl, ExecOutput, ExecStreams};
pub use instances::Detail;
pub use resource::Tagged;
pub use upload::{ImageFiles, ImageUpload};
