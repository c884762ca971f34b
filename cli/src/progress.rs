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

/// What an operation is at, as far as it tells.
pub fn stage(operation: &Operation) -> Option<String> {
    Step::of(operation).map(|step| step.stage)
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
                let Line { template, message } = Line::of(terminal::columns(), &self.title, step);
                let style = ProgressStyle::with_template(&template).expect("the template is valid");
                bar.set_style(style.progress_chars("=> "));
                bar.set_position(step.percent.unwrap_or(0));
                bar.set_message(message);
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

/// The widest bar, and the narrowest that says something.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

/// The room for a detail, so that the bar is not as long as the numbers happen to be.
const DETAIL: usize = "  1023.99MiB (1023.99MiB/s)".len();

/// The line that moves: what is said comes first, the bar takes what room there is.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    template: String,
    message: String,
}

impl Line {
    fn of(columns: usize, title: &str, step: &Step) -> Self {
        let percent = if step.percent.is_some() { "100% ".len() } else { 0 };
        let said = "- : ".len() + title.chars().count() + percent + step.stage.chars().count();
        let detail = if step.detail.is_empty() { 0 } else { DETAIL };
        let bar = columns.saturating_sub(said + detail + "[] ".len()).min(*BAR.end());
        let template = match step.percent {
            None => "{spinner} {prefix}: {wide_msg}".to_owned(),
            Some(_) if BAR.contains(&bar) => {
                format!("{{spinner}} {{prefix}}: [{{bar:{bar}}}] {{percent:>3}}% {{wide_msg}}")
            }
            Some(_) => "{spinner} {prefix}: {percent:>3}% {wide_msg}".to_owned(),
        };
        let with_detail = said + "  ".len() + step.detail.chars().count();
        let message = match step.detail.as_str() {
            "" => step.stage.clone(),
            _ if with_detail > columns => step.stage.clone(),
            detail => format!("{}  {detail}", step.stage),
        };
        Self { template, message }
    }
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
    fn the_line_fits_its_terminal_and_the_bar_gives_way_first() {
        let line = |columns, title: &str, stage: &str, detail: &str| {
            let (stage, detail) = (stage.to_owned(), detail.to_owned());
            Line::of(columns, title, &Step { stage, percent: Some(39), detail })
        };
        let base = line(80, "Creating web1", "Installing base packages", "");
        assert!(base.template.contains("[{bar:24}]"), "{base:?}");
        assert_eq!(base.message, "Installing base packages");
        let slow = line(80, "Importing", "Computing fingerprint", "3.00MiB (13.00MiB/s)");
        assert!(slow.template.contains("[{bar:11}]"), "{slow:?}");
        assert_eq!(slow.message, "Computing fingerprint  3.00MiB (13.00MiB/s)");
        let long = line(80, "Creating an instance", slow.message.as_str(), "");
        assert!(!long.template.contains("{bar"), "{long:?}");
        let narrow = line(40, "Importing", "Computing fingerprint", "3.00MiB (13.00MiB/s)");
        assert_eq!(narrow.message, "Computing fingerprint");
    }

    #[test]
    fn an_operation_without_progress_shows_nothing() {
        assert_eq!(Step::of(&operation(json!(null))), None);
    }
}
