//! Capabilities of a guest's init.
//!
//! Inside its user namespace a guest's root may hold everything that only concerns the namespace. What is
//! dropped from the bounding set has no use there, and its absence tells init systems so.

use std::io;

use caps::CapSet;
use rustix::thread::CapabilitiesSecureBits;

use crate::Context;
use crate::error::{Result, SysError};

pub use caps::Capability;

/// What a guest's init never has.
pub const DROPPED_BY_DEFAULT: [Capability; 5] = [
    Capability::CAP_MAC_ADMIN,
    Capability::CAP_MAC_OVERRIDE,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
    Capability::CAP_SYS_TIME,
];

/// Drops the given capabilities from the calling thread's bounding set and all others, empties the ambient
/// and inheritable sets, and puts the securebits back to their defaults.
///
/// Called last before execve(2), as root of the guest's user namespace.
pub fn restrict(dropped: &[Capability]) -> Result<()> {
    let known = caps::runtime::thread_all_supported();
    caps::clear(None, CapSet::Ambient).map_err(io).op("clear", "ambient capabilities")?;
    caps::clear(None, CapSet::Inheritable).map_err(io).op("clear", "inheritable capabilities")?;
    for capability in dropped.iter().filter(|capability| known.contains(capability)) {
        caps::drop(None, CapSet::Bounding, *capability)
            .map_err(io)
            .op("drop from the bounding set", capability)?;
        for set in [CapSet::Effective, CapSet::Permitted] {
            caps::drop(None, set, *capability).map_err(io).op("drop", capability)?;
        }
    }
    reset_securebits()
}

/// Drops all capabilities but the given ones, as [`restrict`] does.
pub fn keep(kept: &[Capability]) -> Result<()> {
    let all = caps::runtime::thread_all_supported();
    let dropped: Vec<_> = all.into_iter().filter(|c| !kept.contains(c)).collect();
    restrict(&dropped)
}

/// Empties the calling thread's bounding, ambient and inheritable sets: once it has changed to an id other
/// than root's, it has no capability and gets none by executing programs.
pub fn empty_bounding_set() -> Result<()> {
    caps::clear(None, CapSet::Ambient).map_err(io).op("clear", "ambient capabilities")?;
    caps::clear(None, CapSet::Inheritable).map_err(io).op("clear", "inheritable capabilities")?;
    for capability in caps::runtime::thread_all_supported() {
        caps::drop(None, CapSet::Bounding, capability)
            .map_err(io)
            .op("drop from the bounding set", capability)?;
    }
    reset_securebits()
}

/// Puts the calling thread's securebits back to their defaults.
pub fn reset_securebits() -> Result<()> {
    let bits = rustix::thread::capabilities_secure_bits().op("read", "securebits")?;
    if bits.is_empty() {
        return Ok(());
    }
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())
        .op("set", "securebits")
}

/// Whether the calling thread may use a capability now.
pub fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Parses a name, with or without `cap_`, in any case.
///
/// # Errors
///
/// Invalid when there is no such capability.
pub fn parse(name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    full.parse().map_err(|_| {
        let kind = io::ErrorKind::InvalidInput;
        SysError::message("parse capability", name, kind, "no such capability")
    })
}

fn io(error: caps::errors::CapsError) -> io::Error {
    match io::Error::last_os_error() {
        errno if errno.raw_os_error() != Some(0) => errno,
        _ => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_in_every_usual_form() {
        for name in ["sys_time", "CAP_SYS_TIME", "cap_sys_time"] {
            assert_eq!(parse(name).unwrap(), Capability::CAP_SYS_TIME);
        }
        assert!(parse("sys_tme").is_err());
    }
}
