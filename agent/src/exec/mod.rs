//! Programs started inside: forked by the agent, born into the guest's pid namespace and a cgroup of their
//! own, and reaped at once, since an unreaped one keeps PID 1 from ending.
//!
//! What happens before a program runs reads the guest's files, and the guest may have mounted something that
//! never answers: a start has a deadline. What then cannot even be killed stays in its cgroup until the guest
//! lets go of it, and there may be only so many of those.
//!
//! One whose daemon has gone has nobody at its other end, and ends as the programs of a closed terminal do:
//! by SIGHUP, and by SIGKILL where that has not ended it.

mod child;
mod failure;
mod leaf;
mod stdio;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use sc_agent_protocol::{ExecRequest, IdRangeSpec};
use sc_sys::process::{Child, CloneOptions, Exit, spawn_child};
use sc_sys::signal::signal_group;
use sc_sys::{Result, SysError};

pub(crate) use self::failure::ExecFailure;
use self::leaf::{Leaf, Leaves};
use self::stdio::Stdio;
use crate::host::Host;

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
/// How long a program that nobody listens to any more may take to end.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(3);

/// How long the start of a program may take; less than a daemon waits for an answer.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long the failure of a start is at most, so that it comes in one piece (`PIPE_BUF`).
const FAILURE_MAX: usize = 4096;
/// How many may hang in the guest's files before it gets no more.
const MOST_HANGING: usize = 16;

/// Who hears of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A request of a daemon: connection and number.
    Daemon {
        /// The connection's token.
        connection: u64,
        /// The request's number.
        request: u64,
    },
    /// The agent itself.
    Agent,
}

/// A program that was started.
#[derive(Debug)]
struct Exec {
    id: u64,
    owner: Owner,
    child: Child,
    leaf: Option<Leaf>,
    stage: Stage,
    master: Option<OwnedFd>,
    has_terminal: bool,
    hung_up: HungUp,
}

/// How far a program has come.
#[derive(Debug)]
enum Stage {
    /// It is not executed yet, and has until this time. The descriptor is closed by its execution; it brings
    /// the failure otherwise.
    Starting { status: OwnedFd, until: Instant },
    /// It was.
    Executed,
    /// It has said why it could not be, and ends.
    Failed,
    /// It took too long and was killed, which the guest's files may keep from having an effect.
    GivenUp,
}

/// Whether a program has lost who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HungUp {
    /// Somebody is there.
    No,
    /// It was told, and is killed at this time.
    Until(Instant),
    /// It was killed.
    Killed,
}

/// News of a program.
#[derive(Debug)]
pub(crate) enum News {
    /// It was executed.
    Started {
        /// Its number.
        exec: u64,
        /// Its pid on the host.
        pid: i32,
        /// Who asked for it.
        owner: Owner,
        /// The master of its terminal.
        master: Option<OwnedFd>,
    },
    /// It could not be.
    Failed {
        /// Who asked for it.
        owner: Owner,
        /// Why.
        failure: ExecFailure,
    },
    /// It has ended.
    Exited {
        /// Its number.
        exec: u64,
        /// Who asked for it.
        owner: Owner,
        /// How.
        exit: Exit,
    },
}

/// What a program is started with.
pub(crate) struct Job<'a> {
    /// What the host holds.
    pub host: &'a Host,
    /// PID 1's pidfd.
    pub init: BorrowedFd<'a>,
    /// The guest's devpts.
    pub devpts: BorrowedFd<'a>,
    /// The guest's ids.
    pub ids: IdRangeSpec,
    /// The instance's environment.
    pub environment: &'a [(String, String)],
    /// What is asked for.
    pub request: &'a ExecRequest,
    /// The file with its command and environment, where they are too long for the request.
    pub words: Option<OwnedFd>,
    /// Standard input, output and error, where there is no terminal.
    pub descriptors: Vec<OwnedFd>,
}

/// All programs that run.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    running: Vec<Exec>,
    last: u64,
    leaves: Leaves,
}

impl Execs {
    /// Forks the program's process. Whether it could be executed comes as [`News`]: returned are its
    /// number and what becomes readable then.
    ///
    /// The agent must have entered the guest's pid namespace for its children.
    pub(crate) fn start(
        &mut self,
        mut job: Job<'_>,
        owner: Owner,
    ) -> std::result::Result<(u64, BorrowedFd<'_>), ExecFailure> {
        self.refuse_more_hanging()?;
        let stdio = stdio::open(&mut job)?;
        let (status, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|error| SysError::new("create", "pipe", error))?;
        let leaf = match &job.host.cgroups.payload {
            Some(payload) => Some(self.leaves.make(payload)?),
            None => None,
        };
        let child = spawn(&job, &stdio, leaf.as_ref(), &tell).inspect_err(|_| {
            if let Some(leaf) = &leaf {
                self.leaves.give_up(leaf);
                self.leaves.sweep();
            }
        })?;
        self.last += 1;
        let master = stdio.into_master();
        let has_terminal = master.is_some();
        let (id, hung_up) = (self.last, HungUp::No);
        let stage = Stage::Starting { status, until: Instant::now() + START_PATIENCE };
        self.running.push(Exec { id, owner, child, leaf, stage, master, has_terminal, hung_up });
        match self.running.last() {
            Some(Exec { stage: Stage::Starting { status, .. }, .. }) => Ok((id, status.as_fd())),
            _ => unreachable!("it was pushed just now"),
        }
    }

    fn refuse_more_hanging(&self) -> std::result::Result<(), ExecFailure> {
        let hanging = self.running.iter().filter(|exec| matches!(exec.stage, Stage::GivenUp));
        if hanging.count() < MOST_HANGING {
            return Ok(());
        }
        let step = format!("start one more: {MOST_HANGING} before it hang in the guest's files");
        Err(ExecFailure { step, errno: Errno::AGAIN.raw_os_error() })
    }

    /// Looks whether a program was executed.
    pub(crate) fn check(&mut self, id: u64) -> Option<News> {
        let exec = self.running.iter_mut().find(|exec| exec.id == id)?;
        let Stage::Starting { status, .. } = &exec.stage else { return None };
        let outcome = read_status(status)?;
        let (owner, pid) = (exec.owner, exec.child.pid());
        let master = exec.master.take();
        match outcome {
            Ok(()) => {
                exec.stage = Stage::Executed;
                Some(News::Started { exec: id, pid, owner, master })
            }
            Err(failure) => {
                exec.stage = Stage::Failed;
                Some(News::Failed { owner, failure })
            }
        }
    }

    /// Takes note of a reaped child; returns what is to be told, in order. `None` where it is none of
    /// these.
    pub(crate) fn reaped(&mut self, pid: i32, exit: Exit) -> Option<Vec<News>> {
        let at = self.running.iter().position(|exec| exec.child.pid() == pid)?;
        let mut news: Vec<News> = self.check(self.running[at].id).into_iter().collect();
        let exec = self.running.swap_remove(at);
        if let Some(leaf) = &exec.leaf {
            self.leaves.give_up(leaf);
        }
        match exec.stage {
            Stage::Executed => news.push(News::Exited { exec: exec.id, owner: exec.owner, exit }),
            // Killed before it could execute or say why not.
            Stage::Starting { .. } => {
                let errno = Errno::INTR.raw_os_error();
                let failure = ExecFailure { step: "start program".into(), errno };
                news.push(News::Failed { owner: exec.owner, failure });
            }
            Stage::Failed | Stage::GivenUp => {}
        }
        Some(news)
    }

    /// Clears up behind programs that were reaped: who waits for the news of their end has it by now.
    pub(crate) fn clear_up(&mut self) {
        self.leaves.sweep();
    }

    /// Sends a signal to a program, to its process group where it has a terminal.
    pub(crate) fn signal(&self, id: u64, signal: i32) -> Result<bool> {
        let Some(exec) = self.running.iter().find(|exec| exec.id == id) else { return Ok(false) };
        if exec.has_terminal {
            signal_group(exec.child.pid(), signal)?;
        } else {
            exec.child.signal(signal)?;
        }
        Ok(true)
    }

    /// Tells a program that nobody is at its other end any more; `false` where it has ended.
    pub(crate) fn hang_up(&mut self, id: u64, now: Instant) -> bool {
        let exec = self.running.iter_mut().find(|exec| exec.id == id);
        exec.map(|exec| exec.hang_up(now)).is_some()
    }

    /// Does so for all whose daemon's connection is not there any more; returns how many.
    pub(crate) fn hang_up_orphans(
        &mut self,
        is_there: impl Fn(u64) -> bool,
        now: Instant,
    ) -> usize {
        let orphans = self.running.iter_mut().filter(|exec| match exec.owner {
            Owner::Daemon { connection, .. } => !is_there(connection),
            Owner::Agent => false,
        });
        orphans.map(|exec| exec.hang_up(now)).count()
    }

    /// Returns when a program is due to be killed: one that was hung up, or one that does not start.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.running.iter().filter_map(Exec::due).min()
    }

    /// Kills those that are due; returns which of them did not start.
    pub(crate) fn kill_due(&mut self, now: Instant) -> Vec<News> {
        let late = self.running.iter_mut().filter_map(|exec| {
            if matches!(exec.hung_up, HungUp::Until(at) if at <= now) {
                exec.signal_group(SIGKILL);
                exec.hung_up = HungUp::Killed;
            }
            exec.is_late(now).then_some(exec.id)
        });
        late.collect::<Vec<u64>>().into_iter().filter_map(|id| self.give_up(id)).collect()
    }

    /// Ends a start that takes too long, unless it has come to its end just now.
    fn give_up(&mut self, id: u64) -> Option<News> {
        if let Some(news) = self.check(id) {
            return Some(news);
        }
        let exec = self.running.iter_mut().find(|exec| exec.id == id)?;
        exec.child.kill();
        exec.master = None;
        exec.stage = Stage::GivenUp;
        let step = format!("read the guest's files within {} s", START_PATIENCE.as_secs());
        let failure = ExecFailure { step, errno: Errno::TIME.raw_os_error() };
        Some(News::Failed { owner: exec.owner, failure })
    }
}

impl Exec {
    fn due(&self) -> Option<Instant> {
        let start = match self.stage {
            Stage::Starting { until, .. } => Some(until),
            Stage::Executed | Stage::Failed | Stage::GivenUp => None,
        };
        let hung_up = match self.hung_up {
            HungUp::Until(at) => Some(at),
            HungUp::No | HungUp::Killed => None,
        };
        start.into_iter().chain(hung_up).min()
    }

    fn is_late(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Starting { until, .. } if until <= now)
    }

    /// A terminal's programs hear it from the kernel, once its last master is closed: here, and with the
    /// daemon that has gone. Telling them twice would keep an editor from saving what it can.
    fn hang_up(&mut self, now: Instant) {
        if self.hung_up != HungUp::No {
            return;
        }
        self.master = None;
        if matches!(self.stage, Stage::Starting { .. }) {
            // All other signals are blocked in it, and it has nothing yet that it could save.
            self.child.kill();
            self.hung_up = HungUp::Killed;
            return;
        }
        if !self.has_terminal {
            self.signal_group(SIGHUP);
            self.signal_group(SIGCONT);
        }
        self.hung_up = HungUp::Until(now + HANG_UP_PATIENCE);
    }

    /// Signals the program and what it has started, but for what went off into a session of its own.
    fn signal_group(&self, signal: i32) {
        // It leads no group as long as it is being started.
        if signal_group(self.child.pid(), signal).is_err() {
            // Ended already is as good.
            let _ = self.child.signal(signal);
        }
    }
}

fn spawn(job: &Job<'_>, stdio: &Stdio, leaf: Option<&Leaf>, tell: &OwnedFd) -> Result<Child> {
    let options = CloneOptions { cgroup: leaf.map(Leaf::fd), ..CloneOptions::default() };
    let task = child::Task {
        host: job.host,
        init: job.init,
        request: job.request,
        words: job.words.as_ref(),
        environment: job.environment,
        stdio,
    };
    spawn_child(&options, || child::run(&task, tell))
}

/// Returns how the execution went; `None` while it is open.
fn read_status(status: &OwnedFd) -> Option<std::result::Result<(), ExecFailure>> {
    let mut bytes = [0; FAILURE_MAX];
    // It is written in one piece.
    let read = match rustix::io::read(status, &mut bytes) {
        Err(Errno::AGAIN | Errno::INTR) => return None,
        read => read.unwrap_or(0),
    };
    Some(match &bytes[..read] {
        [] => Ok(()),
        told => Err(serde_json::from_slice(told).unwrap_or(ExecFailure {
            step: "read the program's status".into(),
            errno: Errno::IO.raw_os_error(),
        })),
    })
}
