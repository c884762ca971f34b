//! Descriptors in tokio's event loop (feature `tokio`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::unix::Seqpacket;

/// A type that owns one descriptor and shows the same one for as long as it lives.
///
/// Sealed: [`watch`] relies on it.
pub trait OwnsDescriptor: AsRawFd + sealed::Sealed {}

impl OwnsDescriptor for OwnedFd {}
impl OwnsDescriptor for Seqpacket {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::os::fd::OwnedFd {}
    impl Sealed for crate::unix::Seqpacket {}
}

/// Registers a descriptor, which must be non-blocking, with the runtime of the calling task.
///
/// # Errors
///
/// `EPERM` for what cannot be waited for, such as a plain file.
pub fn watch<T: OwnsDescriptor>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the types of this sealed trait own their descriptor, never show another and close it
    // only when they are dropped, which is after the registration is.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(io::Error::from)
}
