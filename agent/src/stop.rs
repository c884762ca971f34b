//! An ordered stop under way.
//!
//! The signal is sent once the init listens to it: one that comes before is lost, since the kernel keeps
//! from PID 1 what it has no handler for. Where two seconds after it the guest still runs and its init has
//! a shutdown command, that is run inside.

use std::time::{Duration, Instant};

use sc_agent_protocol::StopMethod;

/// How long an init may take to listen, and then to show effect.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a stop is looked after.
const TICK: Duration = Duration::from_millis(50);

/// A stop under way.
#[derive(Debug)]
pub(crate) struct Stop {
    method: StopMethod,
    asked: Instant,
    sent: Option<Instant>,
    command_run: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing yet.
    Wait,
    /// Send this signal to PID 1.
    Signal(i32),
    /// Run this inside.
    Run(Vec<String>),
}

impl Stop {
    /// Begins a stop.
    pub(crate) fn new(method: StopMethod, now: Instant) -> Self {
        Self { method, asked: now, sent: None, command_run: false }
    }

    /// Decides what is next; `listens` says whether PID 1 has the signal handled or blocked.
    pub(crate) fn next(&mut self, now: Instant, listens: impl FnOnce(i32) -> bool) -> Action {
        let Some(sent) = self.sent else {
            if now.duration_since(self.asked) < PATIENCE && !listens(self.method.signal) {
                return Action::Wait;
            }
            self.sent = Some(now);
            return Action::Signal(self.method.signal);
        };
        if self.command_run || self.method.command.is_empty() || now.duration_since(sent) < PATIENCE
        {
            return Action::Wait;
        }
        self.command_run = true;
        Action::Run(self.method.command.clone())
    }

    /// Returns when to ask again; `None` when nothing more will come.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        match self.sent {
            None => Some(now + TICK),
            Some(_) if self.command_run || self.method.command.is_empty() => None,
            Some(sent) => Some(sent + PATIENCE),
        }
    }
}

/// Whether a process handles or blocks a signal; blocked is how one reads signals from a descriptor.
pub(crate) fn listens(pid: i32, signal: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status_listens(&status, signal))
}

fn status_listens(status: &str, signal: i32) -> bool {
    let Some(bit) = u32::try_from(signal - 1).ok().and_then(|shift| 1_u64.checked_shl(shift))
    else {
        return false;
    };
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigBlk:").or_else(|| line.strip_prefix("SigCgt:")))
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(command: &[&str], now: Instant) -> Stop {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Stop::new(StopMethod { signal: 30, command }, now)
    }

    #[test]
    fn the_signal_waits_until_init_listens() {
        let now = Instant::now();
        let mut stop = stop(&[], now);
        assert_eq!(stop.next(now, |_| false), Action::Wait);
        assert!(stop.due(now).is_some());
        assert_eq!(stop.next(now + TICK, |signal| signal == 30), Action::Signal(30));
        assert_eq!(stop.next(now + TICK * 2, |_| true), Action::Wait);
        assert_eq!(stop.due(now), None);
    }

    #[test]
    fn an_init_that_never_listens_is_signalled_all_the_same() {
        let now = Instant::now();
        assert_eq!(stop(&[], now).next(now + PATIENCE, |_| false), Action::Signal(30));
    }

    #[test]
    fn the_command_runs_once_when_the_signal_has_had_no_effect() {
        let now = Instant::now();
        let mut stop = stop(&["telinit", "0"], now);
        assert_eq!(stop.next(now, |_| true), Action::Signal(30));
        assert_eq!(stop.next(now + PATIENCE / 2, |_| true), Action::Wait);
        assert_eq!(
            stop.next(now + PATIENCE, |_| true),
            Action::Run(vec!["telinit".into(), "0".into()])
        );
        assert_eq!(stop.next(now + PATIENCE * 2, |_| true), Action::Wait);
    }

    #[test]
    fn masks_are_read_from_the_process_status() {
        let status =
            "SigBlk:\t0000001000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000020000000\n";
        assert!(status_listens(status, 37));
        assert!(status_listens(status, 30));
        assert!(!status_listens(status, 13));
    }
}
