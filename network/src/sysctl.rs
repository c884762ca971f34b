//! `/proc/sys/net` of the calling thread's network namespace.

use crate::Result;

/// Raises the limits of the neighbour tables for so many guests, never lowering them. They are
/// shared by all namespaces of the host. Returns the new limit if it changed.
pub fn raise_neighbour_limits(guests: usize) -> Result<Option<u32>> {
    unimplemented!()
}
