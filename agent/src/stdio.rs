//! Standard input, output and error.

use std::os::fd::AsFd;

use sc_sys::{Result, SysError};

/// Makes a terminal all three of them.
pub(crate) fn use_as_stdio(terminal: impl AsFd) -> Result<()> {
    let terminal = terminal.as_fd();
    rustix::stdio::dup2_stdin(terminal)
        .and_then(|()| rustix::stdio::dup2_stdout(terminal))
        .and_then(|()| rustix::stdio::dup2_stderr(terminal))
        .map_err(|error| SysError::new("duplicate", "terminal", error))
}
