//! What the rest of the system asks of Linux, behind safe functions.
//!
//! This crate is the one home of `unsafe`. It knows nothing of instances, pools or networks: it takes
//! paths, file descriptors and numbers, and its errors name the system call and its object.
//!
//! | module | what it does |
//! |---|---|
//! | [`mount`] | mount trees, new file systems, overlays of idmapped layers, loop devices |
//! | [`namespace`], [`process`] | user namespaces, `clone3`, pidfds, what a process is born with |
//! | [`command`] | external programs, and programs started from a descriptor |
//! | [`idmap`] | id ranges, maps, `/etc/subuid`, the machine-wide allocator |
//! | [`cgroup`] | instances' control groups on v1, hybrid and v2 hosts (manager: feature `cgroups`) |
//! | [`caps`], [`filter`], `seccomp` | what a guest's init may do (the filter's compiler: feature `seccomp`) |
//! | [`pty`], [`unix`], [`epoll`], [`memfd`] | terminals, sockets that carry descriptors, event loops |
//! | `reactor` | descriptors in tokio's event loop (feature `tokio`) |
//! | [`fuse`] | ends what a guest's FUSE servers hold up |
//! | [`resolve`] | paths that a guest controls |

#![allow(unsafe_code)]
#![warn(missing_docs)]
#![cfg(target_os = "linux")]

mod error;

pub mod caps;
pub mod cgroup;
pub mod command;
pub mod epoll;
pub mod filter;
pub mod fuse;
pub mod idmap;
pub mod inherited;
pub mod memfd;
pub mod mount;
pub mod namespace;
pub mod process;
pub mod pty;
#[cfg(feature = "tokio")]
pub mod reactor;
pub mod resolve;
pub mod sandbox;
#[cfg(feature = "seccomp")]
pub mod seccomp;
pub mod signal;
pub mod unix;

pub(crate) use error::Context;
pub use error::{ErrorKind, Result, SysError};
