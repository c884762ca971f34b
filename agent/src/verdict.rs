//! What the end of PID 1 means.

use std::time::Duration;

use sc_agent_protocol::{BootFailure, Exit};
use sc_sys::process;

/// The kernel ends PID 1 of a pid namespace by this signal when something in it asks for a restart.
const SIGHUP: i32 = 1;
/// The same for a halt or a power-off.
const SIGINT: i32 = 2;
/// An init that fails sooner than this has not come up at all.
const COMES_UP: Duration = Duration::from_secs(1);

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is booted again.
    Reboot,
    /// The instance has ended.
    Ended(Exit),
    /// Its init failed as soon as it ran.
    Failed(BootFailure),
}

/// Whether the instance was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It runs of its own accord.
    Running,
    /// A stop was asked for, or it is being killed.
    Ended,
}

/// Judges how PID 1 ended, after how long, and whether that was wanted.
pub(crate) fn judge(exit: process::Exit, uptime: Duration, wanted: Wanted, init: &str) -> Verdict {
    let ended = match exit {
        // Nothing else brings this: PID 1 is immune to what it does not handle, and what it handles does
        // not kill it.
        process::Exit::Signal(SIGHUP) if wanted == Wanted::Running => return Verdict::Reboot,
        process::Exit::Signal(SIGHUP | SIGINT) | process::Exit::Code(0) => Exit::Halted,
        process::Exit::Code(status) => Exit::Failed { status },
        process::Exit::Signal(signal) => Exit::Killed { signal },
    };
    if wanted == Wanted::Running && uptime < COMES_UP && ended != Exit::Halted {
        return Verdict::Failed(early_end(exit, uptime, init));
    }
    Verdict::Ended(ended)
}

fn early_end(exit: process::Exit, uptime: Duration, init: &str) -> BootFailure {
    BootFailure {
        step: "run init".into(),
        object: format!("{init}: {exit} after {} ms", uptime.as_millis()),
        errno: 0,
        remedy: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(exit: process::Exit, ms: u64, wanted: Wanted) -> Verdict {
        judge(exit, Duration::from_millis(ms), wanted, "/sbin/init")
    }

    #[test]
    fn the_kernels_two_signals_mean_reboot_and_halt() {
        let (reboot, halt) = (process::Exit::Signal(SIGHUP), process::Exit::Signal(SIGINT));
        assert_eq!(judged(reboot, 5, Wanted::Running), Verdict::Reboot);
        assert_eq!(judged(halt, 5, Wanted::Running), Verdict::Ended(Exit::Halted));
    }

    #[test]
    fn a_guest_that_answers_a_stop_with_a_reboot_has_stopped() {
        let reboot = process::Exit::Signal(SIGHUP);
        assert_eq!(judged(reboot, 5000, Wanted::Ended), Verdict::Ended(Exit::Halted));
    }

    #[test]
    fn an_init_that_fails_at_once_is_a_failed_boot_and_later_an_end() {
        let exit = process::Exit::Code(3);
        let Verdict::Failed(failure) = judged(exit, 12, Wanted::Running) else {
            panic!("a failed boot")
        };
        assert_eq!(failure.object, "/sbin/init: exit status 3 after 12 ms");
        let ended = Verdict::Ended(Exit::Failed { status: 3 });
        assert_eq!(judged(exit, 2000, Wanted::Running), ended);
        assert_eq!(judged(exit, 12, Wanted::Ended), ended);
    }
}
