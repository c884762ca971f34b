//! User namespaces owned by the guest's base id.
//!
//! Who owns a user namespace is charged for what is counted per user inside it: were all owned by host
//! root, one guest could take every other guest's inotify instances and keyrings. The owner is whoever
//! makes the namespace, so it is made by a process that has become the base id; its maps are written from
//! outside, with privilege.
//!
//! ```text
//! caller                      helper thread             maker (shares memory, helper waits in vfork)
//!   ├── spawn ───────────────────┤
//!   │                            ├── clone ─────────────────┤ setresgid, setresuid (base)
//!   │                            ┊                          │ unshare(CLONE_NEWUSER)
//!   │ <─────────── pid or errno ─┊──────────────────────────┤
//!   │ write maps, open namespace ┊                          │ waits
//!   ├── close ───────────────────┊────────────────────────> │ _exit
//!   │ <──────────────────────────┤ reaped
//! ```

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::pipe::PipeFlags;

use super::open_of;
use crate::Context;
use crate::error::{Result, SysError, check};
use crate::idmap::{IdRange, write_id_maps};
use crate::process::vfork::{VforkOptions, vfork};

const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;

/// A user namespace, kept alive by its descriptor.
#[derive(Debug)]
pub struct UserNamespace {
    fd: OwnedFd,
}

impl UserNamespace {
    /// Makes a user namespace whose ids from 0 on are those of the range. Its owner is the first of them.
    ///
    /// Works in a process with any number of threads and copies no memory.
    ///
    /// # Errors
    ///
    /// `EPERM` without privilege over the ids, `ENOSPC` or `EUSERS` when the host allows no more user
    /// namespaces, `EINVAL` when the map is refused.
    pub fn create(range: IdRange) -> Result<Self> {
        let (ready, tell) = pipe()?;
        let (hold, release) = pipe()?;
        std::thread::scope(|scope| {
            let maker =
                Maker { owner: range.start(), tell: tell.as_raw_fd(), hold: hold.as_raw_fd() };
            // With the maker's end of the pipe: where there is no maker, or one that cannot say anything,
            // the pipe has an end.
            let helper = scope.spawn(move || {
                let _tell = tell;
                run_maker(&maker)
            });
            let outcome = finish(range, &ready);
            // Lets the maker go, whatever came out, so that the helper ends.
            drop(release);
            let reaped = helper.join().expect("the helper thread calls nothing that panics");
            reaped?;
            outcome
        })
    }

    /// Returns the namespace's descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns the host uid that owns a user namespace.
pub fn owner_uid(userns: impl AsFd) -> Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the request stores one uid at the address given.
    let ret = unsafe { libc::ioctl(userns.as_fd().as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) };
    check(i64::from(ret)).op("query owner of", "user namespace")?;
    Ok(uid)
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).op("create", "pipe")
}

/// Reads the maker's answer, writes the maps and opens the namespace.
fn finish(range: IdRange, ready: &OwnedFd) -> Result<UserNamespace> {
    let mut answer = [0_u8; 4];
    let length = loop {
        match rustix::io::read(ready, &mut answer) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => break outcome.op("read from", "user namespace maker")?,
        }
    };
    let value = i32::from_ne_bytes(answer);
    if length != answer.len() || value <= 0 {
        let error = match value {
            0 => io::Error::from(io::ErrorKind::UnexpectedEof),
            errno => io::Error::from_raw_os_error(-errno),
        };
        return Err(SysError::new("create", "user namespace", error));
    }
    write_id_maps(value, range)?;
    Ok(UserNamespace { fd: open_of(value, "user")? })
}

/// What the maker needs; plain numbers, since it may neither allocate nor drop anything.
struct Maker {
    owner: u32,
    tell: RawFd,
    hold: RawFd,
}

/// Runs the maker to its end; the calling thread stands still meanwhile.
fn run_maker(maker: &Maker) -> Result<()> {
    // No signal handler of the program may run in the maker. The mask goes with this thread.
    nix::sys::signal::SigSet::all().thread_block().op("block", "signals")?;
    let dumpable = rustix::process::dumpable_behavior();
    let argument = std::ptr::from_ref(maker).cast_mut().cast();
    // SAFETY: the maker touches no memory but its stack, `maker`, which it only reads, and this thread's
    // errno; it calls nothing but system calls.
    let child = unsafe { vfork(&VforkOptions::default(), maker_main, argument) }
        .op("clone", "user namespace maker")?;
    // Changing ids made the shared memory undumpable, which is this process's as well.
    if let Ok(behavior) = dumpable {
        let _ = rustix::process::set_dumpable_behavior(behavior);
    }
    child.reap_clone();
    Ok(())
}

extern "C" fn maker_main(argument: *mut libc::c_void) -> ! {
    // SAFETY: `run_maker` passes a `Maker` that lives until this function has returned. Everything below
    // is a bare system call on numbers, on static data or on this stack.
    unsafe {
        let maker = &*argument.cast::<Maker>();
        // Everything but its own two ends: the copy of another maker's would keep that one waiting, and the
        // other way round.
        let (low, high) = (maker.tell.min(maker.hold), maker.tell.max(maker.hold));
        for (first, last) in [(0, low - 1), (low + 1, high - 1), (high + 1, RawFd::MAX)] {
            if first <= last {
                libc::syscall(libc::SYS_close_range, first, last, 0);
            }
        }
        let answer: i32 = match make(maker) {
            Ok(()) => libc::syscall(libc::SYS_getpid) as i32,
            Err(errno) => -errno,
        };
        let told = libc::syscall(libc::SYS_write, maker.tell, &raw const answer, size_of::<i32>());
        let mut byte = 0_u8;
        if told > 0 {
            // Returns at the end of file, once the caller (or its death) has closed the other end.
            libc::syscall(libc::SYS_read, maker.hold, &raw mut byte, 1);
        }
        libc::_exit(0)
    }
}

/// Becomes the owner and makes the namespace.
///
/// # Safety
///
/// Changes the ids of the calling task; only for a process of its own.
unsafe fn make(maker: &Maker) -> std::result::Result<(), i32> {
    let run = |ret: libc::c_long| {
        if ret < 0 {
            // SAFETY: the address of this thread's errno is always valid.
            return Err(unsafe { *libc::__errno_location() });
        }
        Ok(())
    };
    // SAFETY: system calls on numbers. The raw calls change this task alone, where the library's would
    // signal the threads of the program. Without the fix-up the capabilities stay, so that hosts which
    // deny ordinary users a user namespace allow it.
    unsafe {
        if libc::syscall(libc::SYS_geteuid) != i64::from(maker.owner) {
            run(libc::syscall(libc::SYS_prctl, libc::PR_SET_SECUREBITS, 1 << 2, 0, 0, 0))?;
            run(libc::syscall(libc::SYS_setresgid, maker.owner, maker.owner, maker.owner))?;
            run(libc::syscall(libc::SYS_setresuid, maker.owner, maker.owner, maker.owner))?;
        }
        run(libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER))
    }
}
