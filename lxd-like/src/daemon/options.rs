//! The command line of `scd`.

use std::path::PathBuf;

use clap::Parser;

use crate::paths::DEFAULT_DIR;

/// The sc daemon: manages system containers and serves their API on a unix socket.
#[derive(Debug, Parser)]
#[command(name = "scd", version, about)]
pub struct Options {
    /// The group whose members may use the API.
    #[arg(long)]
    pub group: Option<String>,

    /// Write the log to this file instead of standard error.
    #[arg(long)]
    pub logfile: Option<PathBuf>,

    /// Log what goes on.
    #[arg(long, short)]
    pub verbose: bool,

    /// Log every step.
    #[arg(long, short)]
    pub debug: bool,

    /// Log one JSON object a line.
    #[arg(long)]
    pub json: bool,

    /// Where all state lies.
    #[arg(long, env = "SC_DIR", default_value = DEFAULT_DIR, value_parser = absolute)]
    pub dir: PathBuf,

    /// Faults to run into, for tests of recovery: `kill@start:3`, `fail@create:volume`.
    #[arg(long, env = "SC_FAULT", hide = true)]
    pub fault: Option<String>,
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    match PathBuf::from(text) {
        path if path.is_absolute() => Ok(path),
        _ => Err("it must be an absolute path".into()),
    }
}
