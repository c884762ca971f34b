//! An ordered stop under way.
//!
//! ```text
//!             listens            no effect
//! Listening ──────────> Signalled ─────────> Last      (an init that heeds its signal)
//!     │                     ^
//!     └──────> Commanded ───┘ failed                   (one whose stock configuration does not)
//! ```
//!
//! Nothing is done before the init listens: a signal that comes earlier is lost, since the kernel keeps from
//! PID 1 what it has no handler for, and a command finds nobody.

use std::time::{Duration, Instant};

/// How long an init may take to listen, and then to show effect.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a stop is looked after.
const TICK: Duration = Duration::from_millis(50);

/// rt_sigtimedwait(2): this processor's own, and the two of its 32-bit ancestor, which x86 and arm number
/// alike.
const SIGNAL_WAITS: [i64; 3] = [nix::libc::SYS_rt_sigtimedwait, 177, 421];

/// How an init is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopMethod {
    /// The signal sent to PID 1.
    pub signal: i32,
    /// Run inside; empty for none.
    pub command: Vec<String>,
    /// Which of the two is tried first.
    pub first: First,
}

/// What an init is asked by first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// The signal; the command when that has shown no effect after two seconds.
    Signal,
    /// The command; the signal when that has failed.
    Command,
}

/// A stop under way.
#[derive(Debug)]
pub(crate) struct Stop {
    method: StopMethod,
    asked: Instant,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Waiting for the init to listen.
    Listening,
    /// The command runs, or has succeeded.
    Commanded,
    /// The command has failed.
    Failed,
    /// The signal was sent.
    Signalled(Instant),
    /// There is nothing more to try.
    Last,
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
        Self { method, asked: now, step: Step::Listening }
    }

    /// Decides what is next; `listens` says whether PID 1 has the signal handled or blocked.
    pub(crate) fn next(&mut self, now: Instant, listens: impl FnOnce(i32) -> bool) -> Action {
        match self.step {
            Step::Listening => {
                if now.duration_since(self.asked) < PATIENCE && !listens(self.method.signal) {
                    return Action::Wait;
                }
                match self.method.first {
                    First::Signal => self.signal(now),
                    First::Command => self.command(Step::Commanded),
                }
            }
            Step::Failed => self.signal(now),
            Step::Signalled(at) if now.duration_since(at) >= PATIENCE && self.has_command() => {
                self.command(Step::Last)
            }
            Step::Signalled(_) | Step::Commanded | Step::Last => Action::Wait,
        }
    }

    fn signal(&mut self, now: Instant) -> Action {
        self.step = Step::Signalled(now);
        Action::Signal(self.method.signal)
    }

    fn command(&mut self, then: Step) -> Action {
        self.step = then;
        Action::Run(self.method.command.clone())
    }

    fn has_command(&self) -> bool {
        !self.method.command.is_empty()
    }

    /// Takes note that the command has failed.
    pub(crate) fn command_failed(&mut self) {
        if self.step == Step::Commanded {
            self.step = Step::Failed;
        }
    }

    /// Returns when to ask again; `None` when nothing more will come of itself.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        match self.step {
            Step::Listening => Some(now + TICK),
            Step::Failed => Some(now),
            Step::Signalled(at) if self.has_command() => Some(at + PATIENCE),
            Step::Signalled(_) | Step::Commanded | Step::Last => None,
        }
    }
}

/// Whether a process handles or blocks a signal, or waits for signals: blocked is how one reads signals from
/// a descriptor, and while it waits the kernel shows those that it waits for as not blocked.
pub(crate) fn listens(pid: i32, signal: i32) -> bool {
    let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    read("status").is_ok_and(|status| status_listens(&status, signal))
        || read("syscall").is_ok_and(|call| is_signal_wait(&call))
}

/// Whether a line of `/proc/PID/syscall` is of rt_sigtimedwait(2).
fn is_signal_wait(line: &str) -> bool {
    let number = line.split(' ').next().and_then(|number| number.parse().ok());
    number.is_some_and(|number| SIGNAL_WAITS.contains(&number))
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

    fn stop(command: &[&str], first: First, now: Instant) -> Stop {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Stop::new(StopMethod { signal: 30, command, first }, now)
    }

    fn run() -> Action {
        Action::Run(vec!["telinit".into(), "0".into()])
    }

    #[test]
    fn the_signal_waits_until_init_listens() {
        let now = Instant::now();
        let mut stop = stop(&[], First::Signal, now);
        assert_eq!(stop.next(now, |_| false), Action::Wait);
        assert!(stop.due(now).is_some());
        assert_eq!(stop.next(now + TICK, |signal| signal == 30), Action::Signal(30));
        assert_eq!(stop.next(now + TICK * 2, |_| true), Action::Wait);
        assert_eq!(stop.due(now), None);
    }

    #[test]
    fn an_init_that_never_listens_is_signalled_all_the_same() {
        let now = Instant::now();
        let mut stop = stop(&[], First::Signal, now);
        assert_eq!(stop.next(now + PATIENCE, |_| false), Action::Signal(30));
    }

    #[test]
    fn the_command_runs_once_when_the_signal_has_had_no_effect() {
        let now = Instant::now();
        let mut stop = stop(&["telinit", "0"], First::Signal, now);
        assert_eq!(stop.next(now, |_| true), Action::Signal(30));
        assert_eq!(stop.next(now + PATIENCE / 2, |_| true), Action::Wait);
        assert_eq!(stop.next(now + PATIENCE, |_| true), run());
        assert_eq!(stop.next(now + PATIENCE * 2, |_| true), Action::Wait);
    }

    #[test]
    fn a_command_that_comes_first_is_alone_where_it_succeeds() {
        let now = Instant::now();
        let mut stop = stop(&["telinit", "0"], First::Command, now);
        assert_eq!(stop.next(now, |_| true), run());
        assert_eq!(stop.due(now), None);
        assert_eq!(stop.next(now + PATIENCE * 2, |_| true), Action::Wait);
    }

    #[test]
    fn a_command_that_comes_first_and_fails_is_followed_by_the_signal_and_tried_again() {
        let now = Instant::now();
        let mut stop = stop(&["telinit", "0"], First::Command, now);
        assert_eq!(stop.next(now, |_| true), run());
        stop.command_failed();
        assert_eq!(stop.due(now), Some(now));
        assert_eq!(stop.next(now, |_| true), Action::Signal(30));
        assert_eq!(stop.next(now + PATIENCE, |_| true), run());
        stop.command_failed();
        assert_eq!(stop.due(now), None);
    }

    #[test]
    fn masks_are_read_from_the_process_status() {
        let status =
            "SigBlk:\t0000001000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000020000000\n";
        assert!(status_listens(status, 37));
        assert!(status_listens(status, 30));
        assert!(!status_listens(status, 13));
    }

    #[test]
    fn a_process_that_waits_for_signals_is_known_by_its_system_call() {
        let own = format!("{} 0x7ffd 0x7ffe", nix::libc::SYS_rt_sigtimedwait);
        assert!(is_signal_wait(&own));
        assert!(!is_signal_wait("running\n") && !is_signal_wait("0 0x3 0x7ffd"));
    }
}
