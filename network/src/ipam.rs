//! Subnets and addresses: which are free, and who has which. Pure: what the host uses is an argument.

mod pool;
mod subnet;

pub use pool::{Ipam, Ranges};
pub use subnet::{AUTO_IPV4_PREFIX, InUse, eui64, free_ipv4, free_ipv6};
