//! The guest's user namespace, owned by the guest's base id.
//!
//! What the kernel counts per user inside a namespace is charged to its owner: were that the host's root,
//! one guest could take every other guest's inotify instances. The owner is whoever makes the namespace, so
//! a child of the agent becomes the base id and makes it. (A thread would do, but its stack and heap would
//! stay with every agent for good.)

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::thread::CapabilitiesSecureBits;
use sc_agent_protocol::{BootFailure, IdRangeSpec};
use sc_sys::idmap::{IdRange, write_id_maps};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::process::{Child, CloneOptions, Wait, set_gid_uid, spawn_child};
use sc_sys::unix::{Blocking, Seqpacket};
use sc_sys::{Result, SysError};

use crate::failure::{Step, plain};

const SIGKILL: i32 = 9;
const STEP: &str = "create user namespace";

/// Makes the namespace and writes its maps.
pub(crate) fn create(ids: IdRangeSpec) -> std::result::Result<OwnedFd, BootFailure> {
    let object = || format!("ids {} + {}", ids.base, ids.count);
    let range =
        IdRange::new(ids.base, ids.count).ok_or_else(|| plain(STEP, object(), Errno::INVAL))?;
    let (ours, theirs) = Seqpacket::pair(Blocking::Yes).step(STEP)?;
    let maker = spawn_child(&CloneOptions::default(), || make(ids, theirs)).step(STEP)?;
    let outcome = finish(&maker, &ours, range);
    // The descriptor keeps the namespace; its maker has nothing more to do.
    let _ = maker.signal(SIGKILL);
    let _ = maker.wait(Wait::Block);
    outcome.step(STEP)
}

fn finish(maker: &Child, ours: &Seqpacket, range: IdRange) -> Result<OwnedFd> {
    let told = ours.receive()?.map(|message| message.bytes);
    let errno = told.and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match errno {
        Some(0) => {}
        Some(errno) => {
            let error = std::io::Error::from_raw_os_error(errno);
            return Err(SysError::new("create", "user namespace", error));
        }
        None => {
            return Err(SysError::new("wait for", "maker of the user namespace", Errno::PIPE));
        }
    }
    write_id_maps(maker.pid(), range)?;
    namespace::open_of(maker.pid(), "user")
}

/// Runs the maker: becomes the owner, makes the namespace, and waits to be killed.
fn make(ids: IdRangeSpec, theirs: Seqpacket) -> Infallible {
    let errno = match become_owner(ids) {
        Ok(()) => 0,
        Err(error) => error.errno().unwrap_or(Errno::IO.raw_os_error()),
    };
    // Without its agent this ends as well: there is nobody to send to, and nothing to wait for.
    let _ = theirs.send(&errno.to_ne_bytes(), &[]);
    let _ = theirs.receive();
    std::process::exit(1)
}

fn become_owner(ids: IdRangeSpec) -> Result<()> {
    sc_sys::process::set_death_signal(sc_sys::process::DeathSignal::Kill)?;
    // Capabilities are kept over the change of ids: some hosts deny ordinary users a user namespace.
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
        .map_err(|error| SysError::new("set", "securebits", error))?;
    set_gid_uid(ids.base, ids.base, None)?;
    sc_sys::process::set_death_signal(sc_sys::process::DeathSignal::Kill)?;
    namespace::unshare(Namespaces::NEWUSER)
}
