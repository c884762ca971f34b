//! The guest's user namespace, owned by the guest's base id, and its network namespace in it.
//!
//! What the kernel counts per user inside a namespace is charged to its owner: were that the host's root,
//! one guest could take every other guest's inotify instances. The owner is whoever makes the namespace, so
//! a child of the agent becomes the base id and makes it. (A thread would do, but its stack and heap would
//! stay with every agent for good.)
//!
//! The network namespace is made here and not with PID 1, so that the daemon plugs its NICs in while all else
//! is mounted. The kernel takes a while to make one, in which the agent moves into its own root.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::thread::CapabilitiesSecureBits;
use sc_agent_protocol::{BootFailure, IdRangeSpec};
use sc_sys::idmap::{IdRange, write_id_maps};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::process::{Child, CloneOptions, set_gid_uid, spawn_child};
use sc_sys::unix::{Blocking, Seqpacket};
use sc_sys::{Result, SysError};

use crate::failure::{Step, plain};

const STEP: &str = "create user namespace";

/// The namespaces that a guest keeps over its reboots.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its ids.
    pub user: OwnedFd,
    /// Its NICs.
    pub network: OwnedFd,
}

/// The namespaces while their maker makes them.
#[derive(Debug)]
pub(crate) struct Making {
    maker: Child,
    ours: Seqpacket,
}

impl Making {
    /// Makes the user namespace and writes its maps of ids; the network namespace is being made.
    pub(crate) fn begin(ids: IdRangeSpec) -> std::result::Result<Self, BootFailure> {
        let object = || format!("ids {} + {}", ids.base, ids.count);
        let range =
            IdRange::new(ids.base, ids.count).ok_or_else(|| plain(STEP, object(), Errno::INVAL))?;
        let (ours, theirs) = Seqpacket::pair(Blocking::Yes).step(STEP)?;
        let maker = spawn_child(&CloneOptions::default(), || make(ids, theirs)).step(STEP)?;
        let making = Self { maker, ours };
        making.write_maps(range).step(STEP)?;
        Ok(making)
    }

    fn write_maps(&self, range: IdRange) -> Result<()> {
        await_made(&self.ours, "user namespace")?;
        // First: what a network namespace shows in /proc and /sys belongs to the root that the maps name.
        write_id_maps(self.maker.pid(), range)?;
        self.ours.send(b"go on", &[])
    }

    /// Waits for both.
    pub(crate) fn finish(self) -> std::result::Result<Kept, BootFailure> {
        self.open().step(STEP)
    }

    fn open(&self) -> Result<Kept> {
        await_made(&self.ours, "network namespace")?;
        let user = namespace::open_of(self.maker.pid(), "user")?;
        Ok(Kept { user, network: namespace::open_of(self.maker.pid(), "net")? })
    }
}

impl Drop for Making {
    /// The descriptors keep the namespaces; their maker has nothing more to do. It is reaped with all other
    /// children.
    fn drop(&mut self) {
        self.maker.kill();
    }
}

fn await_made(ours: &Seqpacket, what: &'static str) -> Result<()> {
    let told = ours.receive()?.map(|message| message.bytes);
    match told.and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?))) {
        Some(0) => Ok(()),
        Some(errno) => {
            let error = std::io::Error::from_raw_os_error(errno);
            Err(SysError::new("create", what, error))
        }
        None => Err(SysError::new("wait for", format!("maker of the {what}"), Errno::PIPE)),
    }
}

/// Runs the maker: becomes the owner, makes the namespaces, and waits to be killed. Without its agent it ends
/// as well: there is nobody to send to, and nothing to wait for.
fn make(ids: IdRangeSpec, theirs: Seqpacket) -> Infallible {
    let steps: [&dyn Fn() -> Result<()>; 2] =
        [&|| become_owner(ids), &|| namespace::unshare(Namespaces::NEWNET)];
    for step in steps {
        let errno = match step() {
            Ok(()) => 0,
            Err(error) => error.errno().unwrap_or(Errno::IO.raw_os_error()),
        };
        let told = theirs.send(&errno.to_ne_bytes(), &[]);
        if told.is_err() || !matches!(theirs.receive(), Ok(Some(_))) {
            break;
        }
    }
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
