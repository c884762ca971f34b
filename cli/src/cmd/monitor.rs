//! `sc monitor`: events as they happen.

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use sc_api::{Event, EventType, Operation};
use serde::Deserialize;

use crate::context::Context;
use crate::output::{self, printable};
use crate::verb::Verb;
use crate::{progress, stdio};

/// `sc monitor`.
#[derive(Debug, Args)]
pub struct Monitor {
    /// Show this type of events only; may be given again
    #[arg(short = 't', long = "type", value_name = "TYPE", value_enum)]
    types: Vec<Kind>,
    /// The form of an event
    #[arg(short, long, value_enum, default_value = "yaml")]
    format: Form,
    /// Show a line for each event; of an operation one for each stage
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
}

/// Types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Long work
    Operation,
    /// Things created, started, deleted
    Lifecycle,
    /// The daemon's log
    Logging,
}

/// Forms of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for people
    Pretty,
    /// A line
    Json,
    /// A document
    Yaml,
}

impl Verb for Monitor {
    const NAME: &'static str = "monitor";
    const ABOUT: &'static str = "Show events as they happen";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let types: Vec<EventType> = self
            .types
            .iter()
            .map(|kind| match kind {
                Kind::Operation => EventType::Operation,
                Kind::Lifecycle => EventType::Lifecycle,
                Kind::Logging => EventType::Logging,
            })
            .collect();
        let form = if self.pretty { Form::Pretty } else { self.format };
        let mut events = context.client.events(&types).await?;
        let mut pretty = Pretty::default();
        let mut left = std::pin::pin!(stdio::reader_left());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // It may be long until the next event that could not be printed.
                closed = &mut left => return Err(closed.into()),
            };
            let Some(event) = event.transpose()? else { break };
            match form {
                Form::Json => output::line(serde_json::to_string(&event)?)?,
                Form::Yaml => output::print(output::to_yaml(&event)? + "\n")?,
                Form::Pretty => match pretty.line(&event) {
                    Some(line) => output::line(line)?,
                    None => continue,
                },
            }
        }
        bail!("{}", events.farewell().unwrap_or("the daemon has ended the connection"))
    }
}

/// Events as lines. An operation tells each percent; it has a line for each of its stages.
#[derive(Default)]
struct Pretty {
    /// What was last said of each operation that goes on, by its id.
    said: HashMap<String, String>,
}

impl Pretty {
    fn line(&mut self, event: &Event) -> Option<String> {
        let what = describe(event);
        if event.event_type == EventType::Operation
            && let Ok(operation) = Operation::deserialize(&event.metadata)
        {
            let before = match operation.status_code.is_final() {
                true => self.said.remove(&operation.id),
                false => self.said.insert(operation.id, what.clone()),
            };
            if before.as_ref() == Some(&what) {
                return None;
            }
        }
        let moment = event.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        Some(format!("{moment} {}", printable(&what)))
    }
}

fn describe(event: &Event) -> String {
    let text = |key: &str| event.metadata.get(key).and_then(|value| value.as_str()).unwrap_or("");
    match event.event_type {
        EventType::Operation => {
            let stage = match Operation::deserialize(&event.metadata) {
                Ok(running) if !running.status_code.is_final() => progress::stage(&running),
                _ => None,
            };
            let stage = stage.map(|stage| format!(", {stage}")).unwrap_or_default();
            format!("operation {} {}: {}{stage}", text("id"), text("description"), text("status"))
        }
        EventType::Lifecycle => format!("{} {}", text("action"), text("source")),
        EventType::Logging => format!("{} {}", text("level"), text("message")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operation_has_a_line_for_each_stage() {
        let mut pretty = Pretty::default();
        let mut line = |status: &str, code: u16, stage: &str, percent: &str| {
            let event = serde_json::from_value(json!({
                "type": "operation", "timestamp": "2026-01-01T00:00:00Z", "project": "default",
                "location": "none", "metadata": {
                    "id": "1", "class": "task", "description": "Creating instance",
                    "status": status, "status_code": code, "may_cancel": true,
                    "metadata": {"progress": {"stage": stage, "percent": percent}},
                    "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                },
            }));
            pretty.line(&event.unwrap()).map(|line| line.split_once(": ").unwrap().1.to_owned())
        };
        assert_eq!(line("Running", 103, "Unpacking", "1").unwrap(), "Running, Unpacking");
        assert_eq!(line("Running", 103, "Unpacking", "2"), None);
        assert_eq!(line("Running", 103, "Packing", "1").unwrap(), "Running, Packing");
        assert_eq!(line("Success", 200, "Packing", "100").unwrap(), "Success");
    }
}
