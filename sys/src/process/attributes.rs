//! What a process inherits and must not pass on, or needs before it becomes a guest's init.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::process::{Rlimit, Signal};
use rustix::thread::CpuSet;

use crate::Context;
use crate::error::{Result, SysError, check};

pub use rustix::process::Resource;

/// A soft and a hard limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What applies.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

/// What happens to a process when its parent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathSignal {
    /// It is killed.
    Kill,
    /// Nothing.
    None,
}

/// Whether the process has a single thread, so that a forked child may do as it likes.
pub fn fork_safe() -> Result<bool> {
    // One link for ".", one for "..", one for every thread: cheaper than listing them.
    let stat = rustix::fs::stat(c"/proc/self/task").op("query", "/proc/self/task")?;
    Ok(stat.st_nlink == 3)
}

/// Sets what happens when the parent dies. Set it last: a change of uid clears it.
///
/// The caller has to compare its parent's identity afterwards, for a parent that died before.
pub fn set_death_signal(signal: DeathSignal) -> Result<()> {
    let signal = match signal {
        DeathSignal::Kill => Some(Signal::KILL),
        DeathSignal::None => None,
    };
    rustix::process::set_parent_process_death_signal(signal).op("set", "parent-death signal")
}

/// Renounces privileges by execve(2), for good.
pub fn no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).op("set", "no_new_privs")
}

/// Starts a session of its own; the calling process must not lead a process group.
pub fn become_session_leader() -> Result<()> {
    rustix::process::setsid().op("start", "session").map(drop)
}

/// Makes a terminal the controlling terminal of the session that the caller leads.
pub fn set_controlling_terminal(terminal: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal).op("set", "controlling terminal")
}

/// Becomes the given user for good: supplementary groups, gid, uid, in this order.
///
/// `groups` of `None` leaves the supplementary groups alone (a user namespace may deny the call).
/// Changes the calling thread only, so call it where there is only one.
pub fn set_gid_uid(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<()> {
    use rustix::process::{Gid, Uid};
    if let Some(groups) = groups {
        let groups: Vec<Gid> = groups.iter().map(|id| Gid::from_raw(*id)).collect();
        rustix::thread::set_thread_groups(&groups).op("set", "supplementary groups")?;
    }
    let gid_ = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid_, gid_, gid_).op("set gid", gid)?;
    let uid_ = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid_, uid_, uid_).op("set uid", uid)
}

/// Sets the file mode creation mask.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Gives every signal its default action and unblocks all.
///
/// For a program with one thread that is about to execute another.
pub fn reset_signals() -> Result<()> {
    reset_signals_raw();
    Ok(())
}

/// Ignores a signal, given by number, in this program and in those that it executes.
pub fn ignore_signal(signal: i32) -> Result<()> {
    // SAFETY: an all-zero structure is valid; ignoring installs no handler.
    let ret = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_IGN;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    check(i64::from(ret)).op("ignore signal", signal).map(drop)
}

/// [`reset_signals`], by bare system calls: it neither allocates, locks nor panics.
pub(crate) fn reset_signals_raw() {
    /// How many signals there are, and the bytes of their set.
    const SIGNALS: i32 = 64;
    const SET_SIZE: usize = 8;
    /// The kernel's `struct sigaction` (four words at most), all zero: the default, with an empty mask.
    static DEFAULT: [u64; 4] = [0; 4];
    let set = libc::SIG_SETMASK;
    let no_old = std::ptr::null_mut::<u64>();
    // SAFETY: the structures are static and as long as the kernel reads; no handler is installed. The
    // library's own calls would refuse the two signals that it uses itself, which may be ignored by
    // inheritance as well.
    unsafe {
        for signal in 1..=SIGNALS {
            // The two that cannot be changed are refused, so that no outcome is asked for.
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const DEFAULT, no_old, SET_SIZE);
        }
        libc::syscall(libc::SYS_rt_sigprocmask, set, &raw const DEFAULT, no_old, SET_SIZE);
    }
}

/// Allows the calling thread all processors that its cgroup allows.
pub fn reset_affinity() -> Result<()> {
    let mut all = CpuSet::new();
    for cpu in 0..CpuSet::MAX_CPU {
        all.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &all).op("reset", "processor affinity")
}

/// Sets how readily the kernel kills the process for memory: -1000 never, 1000 first.
pub fn set_oom_score_adjust(score: i32) -> Result<()> {
    const PATH: &str = "/proc/self/oom_score_adj";
    std::fs::write(PATH, score.to_string()).op("write", PATH)
}

/// Joins a new anonymous session keyring, so that the host's stays unseen.
///
/// A kernel without keyrings is fine: there is nothing to see then.
pub fn join_session_keyring() -> Result<()> {
    const JOIN: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is passed.
    let ret =
        unsafe { libc::syscall(libc::SYS_keyctl, JOIN, std::ptr::null::<libc::c_char>(), 0, 0, 0) };
    match check(ret) {
        Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => {
            Err(SysError::new("join", "session keyring", error))
        }
        _ => Ok(()),
    }
}

/// Sets the host name of the caller's UTS namespace.
pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).op("set host name", name)
}

/// Returns a limit of the process.
pub fn limits(resource: Resource) -> Limit {
    let limit = rustix::process::getrlimit(resource);
    Limit { soft: limit.current, hard: limit.maximum }
}

/// Sets a limit of the process.
pub fn set_limit(resource: Resource, limit: Limit) -> Result<()> {
    let raw = Rlimit { current: limit.soft, maximum: limit.hard };
    rustix::process::setrlimit(resource, raw).op("set", name(resource))
}

/// A limit's name as getrlimit(2) has it.
fn name(resource: Resource) -> String {
    format!("RLIMIT_{}", format!("{resource:?}").to_uppercase())
}

/// Raises the soft limit to the hard one.
pub fn raise_limit(resource: Resource) -> Result<()> {
    let hard = limits(resource).hard;
    set_limit(resource, Limit { soft: hard, hard })
}

/// Marks all descriptors from `first` on to be closed by execve(2).
pub fn close_from(first: u32) -> Result<()> {
    // SAFETY: the call takes numbers; closing waits for execve, so that no owner here loses its descriptor.
    let ret =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    match check(ret) {
        Ok(_) => Ok(()),
        Err(error) => Err(SysError::new("close", format!("descriptors from {first}"), error)),
    }
}

/// Closes all descriptors from 3 on but one, at once.
///
/// For a child that never returns to what owns them, and that may be kept from its execve(2): what it holds
/// is then held for as long.
pub fn close_inherited_but(keep: BorrowedFd<'_>) -> Result<()> {
    const FIRST: u32 = 3;
    let keep = keep.as_raw_fd().unsigned_abs();
    for (first, last) in [(FIRST, keep.saturating_sub(1)), (FIRST.max(keep + 1), u32::MAX)] {
        if first > last {
            continue;
        }
        // SAFETY: the call takes numbers, and touches no memory; the owners' copies in this child are
        // never used again, as its documentation demands.
        let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        check(ret).op("close", format!("descriptors from {first}"))?;
    }
    Ok(())
}
