//! A program's standard input, output and error.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use sc_agent_protocol::WindowSize;
use sc_sys::mount::FsIds;
use sc_sys::pty::{Pty, Size, set_size};

use super::{ExecFailure, Job};

/// What a program reads from and writes to.
pub(super) enum Stdio {
    /// Input, output and errors.
    Streams([OwnedFd; 3]),
    /// All three in one.
    Terminal(Pty),
}

impl Stdio {
    /// Returns the terminal's master, where there is one; the rest is closed.
    pub(super) fn into_master(self) -> Option<OwnedFd> {
        match self {
            Self::Terminal(pty) => Some(pty.master),
            Self::Streams(_) => None,
        }
    }
}

/// Opens a terminal, or takes the descriptors that came with the request.
pub(super) fn open(job: &mut Job<'_>) -> Result<Stdio, ExecFailure> {
    let ids = job.ids;
    let (user, group) = (job.request.user, job.request.group);
    if user >= ids.count || group >= ids.count {
        return Err(invalid("check user and group against the instance's ids"));
    }
    let Some(WindowSize { columns, rows }) = job.request.terminal else {
        return streams(std::mem::take(&mut job.descriptors));
    };
    // The terminal belongs to the user who works in it.
    let _ids = FsIds::assume(ids.base + user, ids.base + group)?;
    let pty = Pty::open_in(job.devpts)?;
    set_size(&pty.master, Size { rows, columns })?;
    Ok(Stdio::Terminal(pty))
}

fn streams(descriptors: Vec<OwnedFd>) -> Result<Stdio, ExecFailure> {
    let streams = <[OwnedFd; 3]>::try_from(descriptors);
    streams.map(Stdio::Streams).map_err(|_| invalid("take three descriptors"))
}

fn invalid(step: &str) -> ExecFailure {
    ExecFailure { step: step.into(), errno: Errno::INVAL.raw_os_error() }
}
