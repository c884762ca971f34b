//! Crashes at every step: the daemon is brought to die, and what is found afterwards is whole.
//!
//! ```text
//! warmed ─> prepare ─> SC_FAULT=kill@OPERATION:1, 2, … ─> act ─┬─ fails: it died ─> run again ─┬─> is_whole
//!                                                            └─ succeeds: no such step ────────┴─> is_whole, end
//! ```
//!
//! No clock decides whether a daemon was harmed: a step that was reached kills it before it can
//! answer, so `act` must end with a request that is answered after the operation's last step.

use std::time::Duration;

use super::daemon::{Daemon, Options};
use super::instance::status;
use super::ran::Ran;
use super::snapshot::HostSnapshot;
use super::wait::until;
use crate::guests::{BUSYBOX, Busybox};

/// More steps than any operation has.
pub const MOST_STEPS: u32 = 40;

/// The instance that crashes are about.
pub const VICTIM: &str = "c1";

/// How long the work behind an answer may take.
const BEHIND: Duration = Duration::from_secs(30);

/// A daemon with the busybox image that has launched before, so that what a first launch makes and
/// keeps (the image's layer) is there already; and what it has on the host.
#[track_caller]
pub fn warmed() -> (Daemon, HostSnapshot) {
    warmed_with(Options::default())
}

/// As [`warmed`], of a daemon with these options.
#[track_caller]
pub fn warmed_with(options: Options) -> (Daemon, HostSnapshot) {
    let daemon = Daemon::start_with(options);
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "first"]).ok();
    daemon.sc(&["delete", "--force", "first"]).ok();
    let trash = daemon.dir().join("storage-pools/default/trash");
    until("the trash is empty", BEHIND, &0, || {
        std::fs::read_dir(&trash).map_or(0, Iterator::count)
    });
    let before = HostSnapshot::of(&daemon.dir());
    (daemon, before)
}

/// Waits until nothing is there that was not before.
#[track_caller]
pub fn left_nothing(daemon: &Daemon, what: &str, before: &HostSnapshot) {
    until(&format!("{what} leaves nothing"), BEHIND, &Vec::new(), || {
        HostSnapshot::of(&daemon.dir()).more_than(before)
    });
}

/// Nothing half-made is there after a crash: [`VICTIM`] can be made or started, used and deleted,
/// and leaves nothing.
#[track_caller]
pub fn is_whole(daemon: &Daemon, what: &str, before: &HostSnapshot) {
    daemon.sc(&["admin", "waitready", "--timeout", "30"]).ok();
    match status(daemon, VICTIM).as_str() {
        "-" => drop(daemon.sc(&["launch", BUSYBOX, VICTIM]).ok()),
        "Stopped" => drop(daemon.sc(&["start", VICTIM]).ok()),
        other => assert_eq!(other, "Running", "{what}"),
    }
    assert_eq!(daemon.inside(VICTIM, "echo alive"), "alive", "{what}");
    daemon.sc(&["delete", "--force", VICTIM]).ok();
    left_nothing(daemon, what, before);
}

/// Kills the daemon at step 1, 2, … of an operation that `act` sets going, until the operation has
/// no further step; returns how many kills that were.
#[track_caller]
pub fn killed_at_every_step(
    operation: &str,
    prepare: impl Fn(&Daemon),
    act: impl Fn(&Daemon) -> Ran,
) -> u32 {
    let (mut daemon, before) = warmed();
    for step in 1..MOST_STEPS {
        let fault = format!("kill@{operation}:{step}");
        prepare(&daemon);
        daemon.end();
        daemon.run_into(&fault);
        let acted = act(&daemon);
        let unharmed = acted.code == 0;
        if !unharmed {
            println!("{fault}: `{}` said {}", acted.command, acted.stderr.trim_end());
            daemon.wait_died();
            daemon.run_again();
        }
        is_whole(&daemon, &fault, &before);
        if unharmed {
            return step - 1;
        }
    }
    panic!("{operation} has too many steps");
}
