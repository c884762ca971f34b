//! What went wrong with a program, with its arguments and its own words.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::process::Exit;

/// A program that could not be started or did not succeed.
#[derive(Debug, thiserror::Error)]
pub struct CommandError {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What happened.
    #[source]
    pub failure: Failure,
    /// The end of what it wrote to its standard error, trimmed.
    pub stderr: String,
}

/// What happened to a program.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It is not installed.
    #[error("program not found")]
    NotFound,
    /// It could not be started, or talking to it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ended without success.
    #[error("{0}")]
    Exit(Exit),
    /// It took longer than allowed and was killed.
    #[error("killed after {} seconds", .0.as_secs_f32())]
    Timeout(Duration),
    /// It was killed because the caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl CommandError {
    /// Returns the program's name.
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Returns how it ended, if it did.
    pub fn exit(&self) -> Option<Exit> {
        match self.failure {
            Failure::Exit(exit) => Some(exit),
            _ => None,
        }
    }

    /// Returns what kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self.failure {
            Failure::NotFound | Failure::Timeout(_) | Failure::Cancelled => ErrorKind::Unavailable,
            Failure::Io(_) | Failure::Exit(_) => ErrorKind::Internal,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("run")?;
        for argument in &self.argv {
            if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || c == '"') {
                write!(f, " {argument:?}")?;
            } else {
                write!(f, " {argument}")?;
            }
        }
        if !self.stderr.is_empty() {
            write!(f, " ({})", self.stderr.replace('\n', "; "))?;
        }
        Ok(())
    }
}
