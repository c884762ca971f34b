//! Long work and its progress.
//!
//! On a terminal one line moves; elsewhere, and on a dumb one, each step is a line of its own. Work that ends at once
//! shows nothing.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use sc_api::{ByteSize, Operation};

use crate::context::Context;
use crate::output::printable;
use crate::terminal;

/// Waits for an operation and shows its progress under `title`.
pub async fn wait(context: &Context, title: &str, operation: Operation) -> Result<Operation> {
    let _waiting = context.interrupts.waiting(title, &operation.id);
    let mut progress = Progress::new(title, context.quiet);
    let ended =
        context.client.wait_with_progress(operation, |operation| progress.operation(operation));
    Ok(ended.await?)
}

/// Waits for an operation that is one of several: without progress.
pub async fn wait_silently(
    context: &Context,
    title: &str,
    operation: Operation,
) -> sc_client::Result<Operation> {
    let _waiting = context.interrupts.waiting(title, &operation.id);
    context.client.wait(operation).await
}

/// What is shown of one piece of work.
#[derive(Debug)]
pub struct Progress {
    title: String,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    /// A line for each step; the last one is kept so that it is not told again.
    Lines {
        last: String,
    },
    /// A line that moves, once there is something to show.
    Bar(Option<ProgressBar>),
}

impl Progress {
    /// Progress of `title`, on standard error.
    pub fn new(title: &str, quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() && !terminal::is_dumb() {
            Shown::Bar(None)
        } else {
            Shown::Lines { last: String::new() }
        };
        Self { title: title.to_owned(), shown }
    }

    /// Shows how far an operation is.
    pub fn operation(&mut self, operation: &Operation) {
        if let Some(step) = Step::of(operation) {
            self.step(&step);
        }
    }

    /// Shows that `done` of `total` bytes of `stage` are done.
    pub fn bytes(&mut self, stage: &str, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).map(|percent| percent.min(100));
        let detail = format!("{} of {}", ByteSize(done), ByteSize(total));
        self.step(&Step { stage: stage.to_owned(), percent, detail });
    }

    fn step(&mut self, step: &Step) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines { last } if *last == step.stage => {}
            Shown::Lines { last } => {
                let _ = writeln!(std::io::stderr(), "{}: {}", self.title, step.stage);
                last.clone_from(&step.stage);
            }
            Shown::Bar(bar) => {
                let bar = bar.get_or_insert_with(|| new_bar(&self.title));
                bar.set_style(style(step.percent.is_some()));
                bar.set_position(step.percent.unwrap_or(0));
                bar.set_message(match step.detail.as_str() {
                    "" => step.stage.clone(),
                    detail => format!("{}  {detail}", step.stage),
                });
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(Some(bar)) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(title: &str) -> ProgressBar {
    let bar = ProgressBar::new(100).with_prefix(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn style(has_percent: bool) -> ProgressStyle {
    ProgressStyle::with_template(if has_percent {
        "{spinner} {prefix}: [{bar:24}] {percent:>3}% {wide_msg}"
    } else {
        "{spinner} {prefix}: {wide_msg}"
    })
    .expect("the template is valid")
    .progress_chars("=> ")
}

/// Where an operation is.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    stage: String,
    percent: Option<u64>,
    detail: String,
}

impl Step {
    fn of(operation: &Operation) -> Option<Self> {
        let progress = operation.progress().unwrap_or_default();
        if progress.stage.is_empty() {
            return Self::of_text(operation);
        }
        let bytes = |text: &str| text.parse().ok().filter(|bytes| *bytes > 0).map(ByteSize);
        let detail = match (bytes(&progress.processed), bytes(&progress.speed)) {
            (Some(done), Some(speed)) => format!("{done} ({speed}/s)"),
            (Some(done), None) => done.to_string(),
            (None, _) => String::new(),
        };
        Some(Self {
            stage: printable(&progress.stage),
            percent: progress.percent.parse().ok().filter(|percent| *percent <= 100),
            detail,
        })
    }

    /// From the ready-made text that other servers send: `Unpack: 100% (879.82MB/s)`.
    fn of_text(operation: &Operation) -> Option<Self> {
        let metadata = operation.metadata.as_ref()?;
        let (_, text) = metadata.iter().find(|(key, _)| key.ends_with("_progress"))?;
        let text = printable(text.as_str()?);
        let (stage, detail) = text.split_once(": ").unwrap_or((&text, ""));
        Some(Self { stage: stage.to_owned(), percent: None, detail: detail.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operation(metadata: serde_json::Value) -> Operation {
        serde_json::from_value(json!({
            "id": "1", "class": "task", "description": "", "status": "Running",
            "status_code": 103, "may_cancel": true, "metadata": metadata,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn a_step_is_read_from_our_own_progress() {
        let step = Step::of(&operation(json!({"progress": {
            "stage": "Unpack", "percent": "40", "speed": "1048576", "processed": "2097152"}})));
        let expected = Step {
            stage: "Unpack".into(),
            percent: Some(40),
            detail: "2.00MiB (1.00MiB/s)".into(),
        };
        assert_eq!(step, Some(expected));
    }

    #[test]
    fn a_step_is_read_from_the_text_of_other_servers() {
        let step = Step::of(&operation(json!({"download_progress": "rootfs: 12% (1.0MB/s)"})));
        let expected =
            Step { stage: "rootfs".into(), percent: None, detail: "12% (1.0MB/s)".into() };
        assert_eq!(step, Some(expected));
    }

    #[test]
    fn an_operation_without_progress_shows_nothing() {
        assert_eq!(Step::of(&operation(json!(null))), None);
    }
}
