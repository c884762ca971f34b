//! Children held by pidfd, and how they ended.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

use crate::Context;
use crate::error::{Result, SysError, check};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// Whether it exited with status 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Returns the status as a shell has it: 128 and the number for a signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    fn from_wait(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            // Only exits are waited for, and an exit is one of the two.
            (None, None) => Self::Code(0),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Whether a wait blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the process has ended.
    Block,
    /// Only looks.
    Poll,
}

/// A child process. Dropping it neither kills nor reaps.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
}

impl Child {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    /// Returns the process id in the caller's pid namespace, valid until the child is reaped.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns the pidfd; it polls readable once the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the end and reaps; `None` when polled before the end.
    ///
    /// # Errors
    ///
    /// `ECHILD` when it was reaped already.
    pub fn wait(&self, wait: Wait) -> Result<Option<Exit>> {
        let mut options = WaitIdOptions::EXITED;
        if wait == Wait::Poll {
            options |= WaitIdOptions::NOHANG;
        }
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => {
                    let status = outcome.op("wait for process", self.pid)?;
                    return Ok(status.as_ref().map(Exit::from_wait));
                }
            }
        }
    }

    /// Reaps a child without exit signal that has ended or is about to.
    pub(crate) fn reap_clone(&self) {
        // Waiting by pid, with the flag that names such children. ECHILD only says that a wait for all
        // children was quicker.
        let mut status = 0;
        loop {
            // SAFETY: `status` is a live integer.
            let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            if pid >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                return;
            }
        }
    }

    /// Sends a signal, of any number, real-time ones included.
    pub fn signal(&self, signal: i32) -> Result<()> {
        send_signal(&self.pidfd, signal)
    }

    /// Kills it, so that it can be waited for. One that has ended already does not mind.
    pub fn kill(&self) {
        // Its id is its own as long as it is not reaped, and works where the pidfd does not.
        if self.signal(libc::SIGKILL).is_err()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Opens a pidfd for a process of the caller's pid namespace.
pub fn open_pidfd(pid: i32) -> Result<OwnedFd> {
    let invalid = || io::Error::from_raw_os_error(libc::ESRCH);
    let raw = Pid::from_raw(pid).ok_or_else(invalid).op("open process", pid)?;
    rustix::process::pidfd_open(raw, PidfdFlags::empty()).op("open process", pid)
}

/// Sends a signal to the process behind a pidfd; 0 asks only whether it is there.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: no memory is passed but a null pointer, which the call allows.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(ret).map(drop).map_err(|error| SysError::new("signal process with", signal, error))
}

/// Reaps one child that has ended, whichever it is; `None` when there is none.
pub fn reap_any() -> Result<Option<(i32, Exit)>> {
    // Reaping by pid and not by waitid(P_ALL) of rustix: its status does not carry the pid.
    let mut status = 0;
    // SAFETY: `status` is a live integer.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    match check(i64::from(pid)) {
        Ok(0) => Ok(None),
        Ok(pid) => Ok(Some((pid as i32, exit_of(status)))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(SysError::new("reap", "children", error)),
    }
}

fn exit_of(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}
