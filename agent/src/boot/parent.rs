//! The agent's side of a boot.
//!
//! ```text
//! Boot::begin ─> enter ─> Cloned ─> Prepared ─> go ─> (end of file) Executed
//! ```
//!
//! [`Boot::begin`] forks the starter; the agent then mounts what the guest is made of while the starter
//! enters v1 cgroups, which waits for the kernel, and calls [`Boot::enter`]. The rest is driven by the
//! event loop through [`Boot::advance`].

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use sc_agent_protocol::{BootFailure, InstanceSpec};
use sc_sys::SysError;
use sc_sys::process::{Child, CloneOptions, spawn_child};
use sc_sys::unix::{Blocking, Seqpacket};

use super::child;
pub(crate) use super::sync::Entry;
use super::sync::{FromInit, ToInit, receive, send};
use crate::failure::Step;
use crate::host::Host;

/// A boot under way.
#[derive(Debug)]
pub(crate) struct Boot {
    starter: Child,
    sync: Seqpacket,
    go: Go,
    cloned: bool,
    /// What PID 1 has prepared before the starter came to say that it exists.
    early: Option<Vec<OwnedFd>>,
}

/// Whether init may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    /// Neither asked for nor possible.
    No,
    /// Asked for before everything was prepared.
    Wanted,
    /// Prepared before it was asked for.
    Possible,
    /// It was told to.
    Told,
}

/// What has come of a boot.
#[derive(Debug)]
pub(crate) enum Progress {
    /// PID 1 exists, with this pid.
    Cloned(i32),
    /// The guest's devpts and the console are there.
    Prepared {
        /// The root directory of the guest's devpts.
        devpts: OwnedFd,
        /// The console's master.
        master: OwnedFd,
    },
    /// Init was executed.
    Executed,
    /// It failed.
    Failed(BootFailure),
}

impl Boot {
    /// Forks the process that will clone PID 1, into the guest's cgroups.
    pub(crate) fn begin(spec: &Rc<InstanceSpec>, host: &Rc<Host>) -> Result<Self, BootFailure> {
        let (sync, other) = Seqpacket::pair(Blocking::Yes).step("start boot")?;
        let options = CloneOptions {
            cgroup: host.cgroups.payload.as_deref().map(AsFd::as_fd),
            ..CloneOptions::default()
        };
        let (child_spec, child_host) = (Rc::clone(spec), Rc::clone(host));
        let starter = spawn_child(&options, || child::starter(&child_spec, &child_host, other))
            .step("start boot")?;
        Ok(Self { starter, sync, go: Go::No, cloned: false, early: None })
    }

    /// Tells it to go on, now that everything is mounted.
    pub(crate) fn enter(
        &self,
        entry: Entry,
        user: BorrowedFd<'_>,
        network: BorrowedFd<'_>,
    ) -> Result<(), BootFailure> {
        send(&self.sync, &ToInit::Enter(entry), &[user, network])
            .map_err(|error| self.said().unwrap_or_else(|| lost("start boot", &error)))?;
        self.sync.set_blocking(Blocking::No).step("start boot")
    }

    /// What was said of a failure by a process that takes no messages any more, or is no more. Nothing that
    /// comes before it is obeyed.
    pub(crate) fn said(&self) -> Option<BootFailure> {
        // It may be there and silent: then it was not its end that kept something from being told.
        self.sync.set_blocking(Blocking::No).ok()?;
        loop {
            match receive(&self.sync) {
                Ok(Some((FromInit::Failed(failure), _))) => return Some(failure),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Lets init run as soon as everything is prepared.
    pub(crate) fn go(&mut self) -> Result<(), BootFailure> {
        match self.go {
            Go::No => self.go = Go::Wanted,
            Go::Possible => self.tell()?,
            Go::Wanted | Go::Told => {}
        }
        Ok(())
    }

    /// Takes the next message; `None` when there is none yet.
    ///
    /// Two processes send: `Prepared` may overtake `Cloned` on the way, and is kept until that has come.
    pub(crate) fn advance(&mut self) -> Option<Progress> {
        if self.cloned
            && let Some(descriptors) = self.early.take()
        {
            return Some(self.prepared(descriptors));
        }
        match receive::<FromInit>(&self.sync) {
            Err(error) if error.would_block() => None,
            Err(error) => Some(Progress::Failed(lost("boot", &error))),
            Ok(None) if self.go == Go::Told => Some(Progress::Executed),
            Ok(None) => Some(Progress::Failed(ended_early())),
            Ok(Some((FromInit::Cloned(pid), _))) => {
                self.cloned = true;
                Some(Progress::Cloned(pid))
            }
            Ok(Some((FromInit::Failed(failure), _))) => Some(Progress::Failed(failure)),
            Ok(Some((FromInit::Prepared, descriptors))) if self.cloned => {
                Some(self.prepared(descriptors))
            }
            Ok(Some((FromInit::Prepared, descriptors))) => {
                self.early = Some(descriptors);
                None
            }
        }
    }

    fn prepared(&mut self, descriptors: Vec<OwnedFd>) -> Progress {
        let Ok([devpts, master]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            return Progress::Failed(ended_early());
        };
        let told = match self.go {
            Go::Wanted => self.tell(),
            _ => {
                self.go = Go::Possible;
                Ok(())
            }
        };
        match told {
            Ok(()) => Progress::Prepared { devpts, master },
            Err(failure) => Progress::Failed(failure),
        }
    }

    fn tell(&mut self) -> Result<(), BootFailure> {
        self.go = Go::Told;
        send(&self.sync, &ToInit::Go, &[]).map_err(|error| lost("start init", &error))
    }

    /// Returns what becomes readable when there is news.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.sync.as_fd()
    }

    /// Whether this is the starter's pid.
    pub(crate) fn is_starter(&self, pid: i32) -> bool {
        self.starter.pid() == pid
    }
}

/// A message could not be sent or received: the child has broken, or was killed, maybe with messages
/// unread.
fn lost(step: &str, error: &SysError) -> BootFailure {
    let killed = [Errno::CONNRESET, Errno::PIPE];
    match killed.iter().any(|errno| error.is(errno.raw_os_error())) {
        true => ended_early(),
        false => crate::failure::of(step, error),
    }
}

fn ended_early() -> BootFailure {
    BootFailure {
        step: "boot".into(),
        object: "the process that becomes PID 1".into(),
        errno: 0,
        remedy: Some(
            "it was killed before it could say why; a limit on memory that is too small does this"
                .into(),
        ),
    }
}
