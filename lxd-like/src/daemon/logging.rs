//! The log: quiet by default, structured, and with the time that each step of an operation took
//! when asked (`SC_LOG`, in the syntax of `tracing_subscriber`'s filters, overrides the flags).

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::options::Options;
use crate::error::{Context, Result};

/// Starts logging.
pub fn start(options: &Options) -> Result<()> {
    let level = match (options.debug, options.verbose) {
        (true, _) => "debug",
        (_, true) => "info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("SC_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let spans = if options.debug { FmtSpan::CLOSE } else { FmtSpan::NONE };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(spans)
        .with_target(options.debug);
    match &options.logfile {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.context(format!("open the log file {}", path.display()))?;
            let builder = builder.with_ansi(false).with_writer(Mutex::new(file));
            if options.json { builder.json().init() } else { builder.init() }
        }
        None => {
            let builder =
                builder.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
            if options.json { builder.json().init() } else { builder.init() }
        }
    }
    Ok(())
}
