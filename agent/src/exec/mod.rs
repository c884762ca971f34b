//! Programs started inside: forked by the agent, born into the guest's pid namespace and a cgroup of their
//! own, and reaped at once, since an unreaped one keeps PID 1 from ending.

mod child;
mod leaf;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use sc_agent_protocol::{ExecRequest, IdRangeSpec, WindowSize};
use sc_sys::mount::FsIds;
use sc_sys::process::{Child, CloneOptions, Exit, spawn_child};
use sc_sys::pty::{Pty, Size, set_size};
use sc_sys::{Result, SysError};

use self::leaf::{Leaf, Leaves};
use crate::host::Host;

/// Why a program did not start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ExecFailure {
    /// What failed.
    pub step: String,
    /// The error's number.
    pub errno: i32,
}

impl From<SysError> for ExecFailure {
    fn from(error: SysError) -> Self {
        let fallback = Errno::IO.raw_os_error();
        Self { step: error.to_string(), errno: error.errno().unwrap_or(fallback) }
    }
}

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
    /// Closed by the program's execution; brings the failure otherwise.
    status: Option<OwnedFd>,
    master: Option<OwnedFd>,
    has_terminal: bool,
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
    /// Standard input, output and error, where there is no terminal.
    pub descriptors: Vec<OwnedFd>,
}

/// A program's standard input, output and error.
enum Stdio {
    Streams([OwnedFd; 3]),
    Terminal(Pty),
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
        job: Job<'_>,
        owner: Owner,
    ) -> std::result::Result<(u64, BorrowedFd<'_>), ExecFailure> {
        let (host, request) = (job.host, job.request);
        let stdio = open_stdio(&job)?;
        let (status, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|error| SysError::new("create", "pipe", error))?;
        let leaf = match &host.cgroups.payload {
            Some(payload) => Some(self.leaves.make(payload)?),
            None => None,
        };
        let options =
            CloneOptions { cgroup: leaf.as_ref().map(Leaf::fd), ..CloneOptions::default() };
        let (init, base) = (job.init, job.environment);
        let spawned = spawn_child(&options, || {
            child::run(
                &child::Task { host, init, request, environment: base, stdio: &stdio },
                &tell,
            )
        });
        let child = spawned.inspect_err(|_| {
            if let Some(leaf) = &leaf {
                self.leaves.remove(leaf);
            }
        })?;
        let master = match stdio {
            Stdio::Terminal(pty) => Some(pty.master),
            Stdio::Streams(_) => None,
        };
        self.last += 1;
        self.running.push(Exec {
            id: self.last,
            owner,
            child,
            leaf,
            status: Some(status),
            has_terminal: master.is_some(),
            master,
        });
        let exec = self.running.last().expect("it was pushed just now");
        Ok((exec.id, exec.status.as_ref().expect("it was set just now").as_fd()))
    }

    /// Looks whether a program was executed.
    pub(crate) fn check(&mut self, id: u64) -> Option<News> {
        let exec = self.running.iter_mut().find(|exec| exec.id == id)?;
        let outcome = read_status(exec.status.as_ref()?)?;
        exec.status = None;
        let (owner, pid) = (exec.owner, exec.child.pid());
        let master = exec.master.take();
        Some(match outcome {
            Ok(()) => News::Started { exec: id, pid, owner, master },
            Err(failure) => News::Failed { owner, failure },
        })
    }

    /// Takes note of a reaped child; returns what is to be told, in order. `None` where it is none of
    /// these.
    pub(crate) fn reaped(&mut self, pid: i32, exit: Exit) -> Option<Vec<News>> {
        let at = self.running.iter().position(|exec| exec.child.pid() == pid)?;
        let first = self.check(self.running[at].id);
        let exec = self.running.swap_remove(at);
        if let Some(leaf) = &exec.leaf {
            self.leaves.remove(leaf);
        }
        let mut news = Vec::new();
        let failed = matches!(first, Some(News::Failed { .. }));
        news.extend(first);
        if exec.status.is_some() {
            // Killed before it could execute or say why not.
            let errno = Errno::INTR.raw_os_error();
            let failure = ExecFailure { step: "start program".into(), errno };
            news.push(News::Failed { owner: exec.owner, failure });
        } else if !failed {
            news.push(News::Exited { exec: exec.id, owner: exec.owner, exit });
        }
        Some(news)
    }

    /// Sends a signal to a program, to its process group where it has a terminal.
    pub(crate) fn signal(&self, id: u64, signal: i32) -> Result<bool> {
        let Some(exec) = self.running.iter().find(|exec| exec.id == id) else { return Ok(false) };
        if exec.has_terminal {
            sc_sys::signal::signal_group(exec.child.pid(), signal)?;
        } else {
            exec.child.signal(signal)?;
        }
        Ok(true)
    }
}

fn open_stdio(job: &Job<'_>) -> std::result::Result<Stdio, ExecFailure> {
    let invalid =
        |step: &str| ExecFailure { step: step.into(), errno: Errno::INVAL.raw_os_error() };
    let ids = job.ids;
    let (user, group) = (job.request.user, job.request.group);
    if user >= ids.count || group >= ids.count {
        return Err(invalid("check user and group against the instance's ids"));
    }
    let Some(WindowSize { columns, rows }) = job.request.terminal else {
        let mut copies = Vec::with_capacity(3);
        for fd in &job.descriptors {
            let copy =
                fd.try_clone().map_err(|error| SysError::new("duplicate", "stream", error))?;
            copies.push(copy);
        }
        let streams = <[OwnedFd; 3]>::try_from(copies);
        return streams.map(Stdio::Streams).map_err(|_| invalid("take three descriptors"));
    };
    // The terminal belongs to the user who works in it.
    let _ids = FsIds::assume(ids.base + user, ids.base + group)?;
    let pty = Pty::open_in(job.devpts)?;
    set_size(&pty.master, Size { rows, columns })?;
    Ok(Stdio::Terminal(pty))
}

/// Returns how the execution went; `None` while it is open.
fn read_status(status: &OwnedFd) -> Option<std::result::Result<(), ExecFailure>> {
    let mut bytes = Vec::new();
    let copy = status.try_clone().ok()?;
    match File::from(copy).take(4096).read_to_end(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && bytes.is_empty() => None,
        _ if bytes.is_empty() => Some(Ok(())),
        _ => Some(Err(serde_json::from_slice(&bytes).unwrap_or(ExecFailure {
            step: "read the program's status".into(),
            errno: Errno::IO.raw_os_error(),
        }))),
    }
}
