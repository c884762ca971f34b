//! `sc monitor`: events as they happen.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use sc_api::{Event, EventType};

use crate::context::Context;
use crate::output::{self, printable};
use crate::verb::Verb;

/// `sc monitor`.
#[derive(Debug, Args)]
pub struct Monitor {
    /// Show this type of events only; may be given again
    #[arg(short = 't', long = "type", value_name = "TYPE", value_enum)]
    types: Vec<Kind>,
    /// The form of an event
    #[arg(short, long, value_enum, default_value = "yaml")]
    format: Form,
    /// Show a line for each event
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
        while let Some(event) = events.next().await {
            let event = event?;
            match form {
                Form::Json => output::line(serde_json::to_string(&event)?)?,
                Form::Yaml => output::print(output::to_yaml(&event)? + "\n")?,
                Form::Pretty => output::line(describe(&event))?,
            }
        }
        bail!("{}", events.farewell().unwrap_or("the daemon has ended the connection"))
    }
}

fn describe(event: &Event) -> String {
    let text = |key: &str| event.metadata.get(key).and_then(|value| value.as_str()).unwrap_or("");
    let what = match event.event_type {
        EventType::Operation => {
            format!("operation {} {}: {}", text("id"), text("description"), text("status"))
        }
        EventType::Lifecycle => format!("{} {}", text("action"), text("source")),
        EventType::Logging => format!("{} {}", text("level"), text("message")),
    };
    format!("{} {}", event.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"), printable(&what))
}
