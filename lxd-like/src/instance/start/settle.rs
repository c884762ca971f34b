//! The first moments of a guest's init: one that cannot work fails its start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sc_agent_protocol::{Event, Exit, InitKind};
use sc_api::InstanceName;

use super::Events;
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::instance::agent::{AgentEvent, boot_failure};
use crate::instance::config::Checked;
use crate::instance::run::{Observed, Run};
use crate::model::InstanceRecord;
use crate::proven::Recipe;

/// How long a known init system is watched before it counts as started.
const SETTLING: Duration = Duration::from_millis(3);

/// The same for a program that is no init system known here.
const STRANGER_SETTLING: Duration = Duration::from_millis(50);

/// How soon a known init is looked at again.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Watches the first moments of init, unless its like was seen to come up before. Returns what else its
/// agent has told meanwhile.
pub(super) async fn watch(
    ctx: &Ctx,
    record: &InstanceRecord,
    checked: &Checked,
    run: &Run,
    events: &mut Events,
) -> Result<VecDeque<AgentEvent>> {
    let mut told = VecDeque::new();
    let recipe = Recipe::of(record, &checked.expanded);
    if recipe.is_some_and(|recipe| ctx.proven.knows(recipe)) {
        return Ok(told);
    }
    let settled = settle(&run.observed(), events, &mut told).await;
    settled.map_err(|error| with_last_words(ctx, &record.name, error))?;
    if let Some(recipe) = recipe {
        ctx.proven.note(recipe);
    }
    Ok(told)
}

/// Watches the first moments of init. Of a known init system these are few: what is wrong with it
/// (a library that is missing, another processor) shows when it is loaded. Any other program may be
/// a script that does something first.
#[tracing::instrument(level = "debug", name = "start: init", skip_all)]
async fn settle(
    observed: &Observed,
    events: &mut Events,
    told: &mut VecDeque<AgentEvent>,
) -> Result<()> {
    let patience = match observed.init {
        InitKind::Other => STRANGER_SETTLING,
        _ => SETTLING,
    };
    let (pid, known) = (observed.pid, observed.init != InitKind::Other);
    // Timers of the runtime have whole milliseconds, and a known init needs less than one.
    let came_up = async {
        if known {
            let _ = blocking(move || {
                wait_for_signal_handling(pid, patience);
                Ok(())
            })
            .await;
        } else {
            tokio::time::sleep(patience).await;
        }
    };
    tokio::select! {
        biased;
        ended = end_of_init(events, told) => Err(ended),
        () = came_up => Ok(()),
    }
}

/// How init has ended, when it has; what else there is to tell goes to `told`.
async fn end_of_init(events: &mut Events, told: &mut VecDeque<AgentEvent>) -> Error {
    loop {
        match events.recv().await {
            Some(AgentEvent::Event(Event::Failed(failure))) => return boot_failure(&failure),
            Some(AgentEvent::Event(Event::Ended(exit))) => return ended_at_once(&exit),
            Some(AgentEvent::Gone) | None => {
                return Error::internal("the agent ended with the guest's init");
            }
            Some(event) => told.push_back(event),
        }
    }
}

/// Returns when a process handles signals, and after `patience` at the latest.
fn wait_for_signal_handling(pid: u32, patience: Duration) {
    let deadline = Instant::now() + patience;
    while !handles_signals(pid) && Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Whether an init handles or blocks any signal (`proc_pid_status(5)`), which shows that it was loaded
/// and has come to work. Of a stranger it may be its shell that does.
fn handles_signals(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigCgt:").or_else(|| line.strip_prefix("SigBlk:")))
        .any(|mask| mask.trim().bytes().any(|digit| digit != b'0'))
}

fn ended_at_once(exit: &Exit) -> Error {
    let how = match exit {
        Exit::Halted => "with exit status 0".into(),
        Exit::Failed { status } => format!("with exit status {status}"),
        Exit::Killed { signal } => format!("by signal {signal}"),
    };
    Error::invalid(format!(
        "the guest's init ended at once, {how} (use an image whose /sbin/init is an init system)"
    ))
}

/// Adds the last line that the guest has written to its console: it often says why, and the log goes with a
/// launch that has failed.
fn with_last_words(ctx: &Ctx, name: &InstanceName, error: Error) -> Error {
    let console = std::fs::read(ctx.paths.console_log(name.as_str())).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    match console.lines().rev().find(|line| !line.trim().is_empty()) {
        None => Error::new(error.kind(), format!("{}; it has said nothing", error.chain())),
        Some(line) => Error::new(
            error.kind(),
            format!("{}; the last it said: {:?}", error.chain(), line.trim()),
        ),
    }
}
