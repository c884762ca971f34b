//! Faults of system calls: the n-th call of a set fails, in the daemon or in an agent.
//!
//! ```text
//!  test ── arm(Fault) ──> Armed <── looked at for every call ── tracer thread ── ptrace ──> scd's threads,
//!       <── disarm() ── Hit ──┘                                                   agents, their children
//! ```
//!
//! The tracer stops each thread at each of its calls. One that is to fail is never made: its number is
//! replaced by one that the kernel does not know, and its result by the error. Children are followed until
//! they execute a program that is no agent, so no guest is traced. What the runtime needs for itself (its
//! eventfd, its epoll, the socket pair of its signals) does not count: it gives up where that fails, and
//! the kernel never lets it fail.
//!
//! `strace --inject` would not do: it counts per thread, and cannot tell these apart.

mod calls;
mod object;
mod tracer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;

use super::daemon::Daemon;

pub use calls::Set;

/// Whose calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The daemon's, and its children's before they execute.
    Daemon,
    /// An agent's, and its children's before they execute.
    Agent,
}

/// What is to fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// In which program.
    pub whose: Whose,
    /// Which calls.
    pub set: Set,
    /// How.
    pub errno: Errno,
    /// The how manieth of them, from 1.
    pub nth: u32,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, set, errno, nth } = self;
        let whose = format!("{whose:?}").to_lowercase();
        write!(f, "{errno:?} at call {nth} of {set} in the {whose}")
    }
}

/// A call that was made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its name, and what its first descriptor is where it has one.
    pub call: String,
    /// The thread that made it.
    pub thread: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.call, self.thread)
    }
}

/// Makes calls of one daemon, and of its agents, fail. It traces them to their end.
#[derive(Debug)]
pub struct Injector {
    armed: Arc<Mutex<Armed>>,
}

/// What is planned, and what has come of it.
#[derive(Debug, Default)]
enum Armed {
    #[default]
    No,
    Until {
        fault: Fault,
        seen: u32,
    },
    Done(Hit),
}

impl Injector {
    /// Begins to trace a daemon; returns when each of its threads is traced.
    #[track_caller]
    pub fn attach(daemon: &Daemon) -> Self {
        let armed = Arc::new(Mutex::new(Armed::No));
        let (pid, shared) = (daemon.pid(), armed.clone());
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::spawn(move || tracer::trace(pid.cast_signed(), &shared, &begun));
        begins.recv().expect("the tracer tells").unwrap_or_else(|e| panic!("trace {pid}: {e}"));
        Self { armed }
    }

    /// Plans a fault.
    pub fn arm(&self, fault: Fault) {
        *lock(&self.armed) = Armed::Until { fault, seen: 0 };
    }

    /// Plans nothing any more; returns the call that has failed, if it came to that.
    pub fn disarm(&self) -> Option<Hit> {
        match std::mem::take(&mut *lock(&self.armed)) {
            Armed::Done(hit) => Some(hit),
            Armed::No | Armed::Until { .. } => None,
        }
    }
}

fn lock(armed: &Mutex<Armed>) -> MutexGuard<'_, Armed> {
    armed.lock().expect("no panic while the plan is locked")
}
