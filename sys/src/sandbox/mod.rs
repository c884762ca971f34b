//! A process for foreign bytes that is nobody on the host.
//!
//! Parsers have bugs, and archives, layers, backups and image metadata come from anywhere. So what reads
//! them runs apart: a program executed anew (never a fork of the running one, which holds secrets), as
//! root of a user namespace over ids that belong to nobody, without network, with a root of its own that
//! has the host's `/usr` read-only and the one directory it is to fill. While it works, neither it nor the
//! process that watches over it has any capability, but for those that the caller asks for.
//!
//! ```text
//! caller (any threads)            exe ROLE (host root, reads nothing foreign)      nobody
//!   spawn ── socket on stdin ──────> enter
//!   │  spec, descriptors ──────────> │
//!   │                                ├── clone3(new mnt pid net ipc uts cgroup) ──> mounts, pivot,
//!   │                                │   watches: caller, time, child               user namespace,
//!   │                                │ <──────────────────── ready ───────────────  limits, no caps
//!   │                                │ becomes the child's id, gives all up
//!   │                                │ ───────────────────── go ──────────────────> │
//!   │ <── stdout ────────────────────┼────────────────────────────────────────────  work(..)
//!   │ <── how it ended ──────────────┘ kills and reaps the child, whatever happens
//! ```
//!
//! All namespaces but the user namespace belong to the host's root, so that even a child that is taken
//! over can neither mount nor configure a network; a filter refuses it the system calls to try. The target is an idmapped mount: what the child
//! makes is on disk as the archive says, while no id of the host is involved.

mod calls;
mod inside;
mod outside;
mod root;
mod spec;

pub use inside::{Inside, enter};
pub use outside::{Chunk, Ended, Limits, Running, Sandbox};

/// Where the child finds the directory that it fills.
pub const TARGET: &str = "/target";

/// Where the child finds an input that it cannot read through its descriptor, because a program needs a
/// path: the `index`-th one, read-only. Only regular files are there, and only where their file system can
/// be idmapped.
pub fn input_path(index: usize) -> String {
    format!("/in/{index}")
}
