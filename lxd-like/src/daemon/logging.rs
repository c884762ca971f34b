//! The log: quiet by default, structured, and with the time that each step of an operation took
//! when asked (`SC_LOG`, in the syntax of `tracing_subscriber`'s filters, overrides the flags).

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::log_events::LogEvents;
use super::options::Options;
use crate::error::{Context, Result};
use crate::event::Events;

/// Starts logging, to a file or standard error and to whoever listens for events.
pub fn start(options: &Options, events: &Events) -> Result<()> {
    let level = match (options.debug, options.verbose) {
        (true, _) => "debug",
        (_, true) => "info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("SC_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let (writer, colours) = writer(options)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_span_events(if options.debug { FmtSpan::CLOSE } else { FmtSpan::NONE })
        .with_target(options.debug)
        .with_ansi(colours)
        .with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.json {
        true => lines.json().with_filter(filter).boxed(),
        false => lines.with_filter(filter).boxed(),
    };
    let listened = LogEvents::new(events.clone()).with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines).with(listened).init();
    Ok(())
}

/// Where lines go, and whether they may be coloured.
fn writer(options: &Options) -> Result<(BoxMakeWriter, bool)> {
    let Some(path) = &options.logfile else {
        // Set to nothing it is not set: https://no-color.org
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = std::io::stderr().is_terminal() && !unwanted;
        return Ok((BoxMakeWriter::new(std::io::stderr), colours));
    };
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.context(format!("open the log file {}", path.display()))?;
    Ok((BoxMakeWriter::new(Mutex::new(file)), false))
}
