//! Capabilities of a guest's init.
//!
//! Inside its user namespace a guest's root may hold everything that only concerns the namespace. What is
//! dropped from the bounding set has no use there, and its absence tells init systems so.

use std::io;

use caps::CapSet;
use rustix::io::Errno;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

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
    // The bounding set first: what allows this may be among what is dropped.
    for capability in dropped {
        remove_from_bounding_set(CapabilitySet::from_bits_retain(capability.bitmask()))?;
    }
    let gone = dropped.iter().fold(0, |gone, capability| gone | capability.bitmask());
    lower(CapabilitySet::from_bits_retain(gone))
}

/// Empties the calling thread's bounding, ambient and inheritable sets: once it has changed to an id other
/// than root's, it has no capability and gets none by executing programs.
pub fn empty_bounding_set() -> Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if remove_from_bounding_set(capability)? == Known::No {
            break;
        }
    }
    lower(CapabilitySet::empty())
}

/// Whether this kernel has a capability.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

fn remove_from_bounding_set(capability: CapabilitySet) -> Result<Known> {
    match rustix::thread::remove_capability_from_bounding_set(capability) {
        Ok(()) => Ok(Known::Yes),
        Err(Errno::INVAL) => Ok(Known::No),
        Err(error) => {
            Err(SysError::new("drop from the bounding set", format!("{capability:?}"), error))
        }
    }
}

/// Takes these out of the calling thread's sets, empties those that are handed on by execve(2), and puts
/// the securebits back.
fn lower(gone: CapabilitySet) -> Result<()> {
    rustix::thread::clear_ambient_capability_set().op("clear", "ambient capabilities")?;
    let now = rustix::thread::capabilities(None).op("read", "capabilities")?;
    let rest = CapabilitySets {
        effective: now.effective.difference(gone),
        permitted: now.permitted.difference(gone),
        inheritable: CapabilitySet::empty(),
    };
    if rest != now {
        rustix::thread::set_capabilities(None, rest).op("set", "capabilities")?;
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
