//! File-system ids of the calling thread, borrowed for the length of a scope.

use std::marker::PhantomData;

use rustix::thread::CapabilitiesSecureBits;

use crate::Context;
use crate::error::{Result, SysError};

/// Holds the thread's fsuid and fsgid at the given ids, with its capabilities kept.
///
/// An overlay uses the credentials of its mounter for its work on the upper layer. With host root's ids,
/// which an idmapped upper cannot store, the mount silently comes out read-only; so it is made with the
/// ids of the guest's root. Capabilities survive the change because the securebit `NO_SETUID_FIXUP` is
/// set first. All is put back on drop.
#[derive(Debug)]
pub struct FsIds {
    uid: libc::uid_t,
    gid: libc::gid_t,
    bits: CapabilitiesSecureBits,
    // Credentials belong to a thread: the guard has to be dropped by the one that made it.
    thread: PhantomData<*const ()>,
}

impl FsIds {
    /// Assumes the ids (those of the host's view) for the calling thread.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SETUID`, `CAP_SETGID` and `CAP_SETPCAP`.
    pub fn assume(uid: u32, gid: u32) -> Result<Self> {
        let bits = rustix::thread::capabilities_secure_bits().op("read", "securebits")?;
        rustix::thread::set_capabilities_secure_bits(
            bits | CapabilitiesSecureBits::NO_SETUID_FIXUP,
        )
        .op("set", "securebits")?;
        // From here on the guard puts back whatever was changed.
        let guard = Self { uid: set_fsuid(uid), gid: set_fsgid(gid), bits, thread: PhantomData };
        // The calls report no error: asking with an invalid id returns the current one.
        if set_fsuid(u32::MAX) != uid || set_fsgid(u32::MAX) != gid {
            let denied = std::io::Error::from_raw_os_error(libc::EPERM);
            return Err(SysError::new("assume file-system ids", format!("{uid}:{gid}"), denied));
        }
        Ok(guard)
    }
}

impl Drop for FsIds {
    fn drop(&mut self) {
        set_fsuid(self.uid);
        set_fsgid(self.gid);
        // What was allowed a moment ago is allowed now; there is nobody to tell if it were not.
        let _ = rustix::thread::set_capabilities_secure_bits(self.bits);
    }
}

fn set_fsuid(uid: u32) -> u32 {
    // SAFETY: the call takes a number and changes this thread's credentials only.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) as u32 }
}

fn set_fsgid(gid: u32) -> u32 {
    // SAFETY: the call takes a number and changes this thread's credentials only.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) as u32 }
}
