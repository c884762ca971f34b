//! The only caller of rtnetlink.

use crate::Result;

/// A long-lived netlink handle, cheap to clone.
#[derive(Clone)]
pub struct Links(());

/// What went through an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
}

impl Links {
    /// Opens a socket in the calling thread's network namespace. Must be called inside a tokio
    /// runtime, which then drives it.
    pub fn new() -> Result<Self> {
        unimplemented!()
    }

    /// Takes an interface away; one that is not there is no error.
    pub async fn delete(&self, name: &str) -> Result<()> {
        unimplemented!()
    }

    /// Names of the interfaces that begin so.
    pub async fn names_with_prefix(&self, prefix: &str) -> Result<Vec<String>> {
        unimplemented!()
    }
}
