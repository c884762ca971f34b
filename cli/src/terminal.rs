//! The user's terminal: raw mode, and its size.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result};
use rustix::termios::{self, OptionalActions, Termios};

/// The terminal on standard input in raw mode, until this is dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Sets raw mode.
    pub fn enter() -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        let before = termios::tcgetattr(stdin).context("read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin, OptionalActions::Now, &raw)
            .context("set the terminal to raw mode")?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Columns and lines of the terminal on standard output or input, if there is one.
pub fn size() -> Option<(u16, u16)> {
    [rustix::stdio::stdout(), rustix::stdio::stdin()]
        .into_iter()
        .find_map(|fd| termios::tcgetwinsize(fd).ok())
        .map(|size| (size.ws_col, size.ws_row))
}

/// Columns of the terminal on standard error; 80 where it does not tell.
pub fn columns() -> usize {
    let size = termios::tcgetwinsize(rustix::stdio::stderr());
    size.ok().filter(|size| size.ws_col > 0).map_or(80, |size| size.ws_col.into())
}

/// Whether the terminal, if there is one, understands nothing but text.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Whether standard input is a terminal.
pub fn stdin_is_terminal() -> bool {
    termios::isatty(std::io::stdin().as_fd())
}

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    termios::isatty(std::io::stdout().as_fd())
}
