//! End-to-end tests: a real `scd` in a directory of its own, the real `sc`, real guests.
//!
//! ```text
//! Daemon ── starts scd, kills it, starts it again; takes away all it made when dropped
//!   ├─ sc(..) -> Ran        the command line, as a user runs it
//!   ├─ client()             the API
//!   ├─ Terminal             the command line under a terminal
//!   ├─ HostSnapshot         what of the daemon is on the host, to compare before and after
//!   └─ killed_at_every_step the daemon's death at each step of an operation
//! guests                    images: busybox made on the spot, Debian built once and cached
//! ```
//!
//! Root is required. The daemons of several tests run side by side: each has a directory, a
//! bridge, a subnet and control groups of its own. A failed step panics with the step, what was
//! seen, and the end of the daemon's log.
// A failure of the harness is a failure of the test.
#![allow(clippy::unwrap_used)]

pub mod guests;
mod harness;

pub use harness::begun::Begun;
pub use harness::caller::Caller;
pub use harness::cgroup::{cgroup_value, memory_is_in_cgroup2};
pub use harness::clean::clean_up;
pub use harness::crash::{
    MOST_STEPS, VICTIM, is_whole, killed_at_every_step, left_nothing, warmed, warmed_with,
};
pub use harness::daemon::{Daemon, DiskKind, Options};
pub use harness::docker::Docker;
pub use harness::effects::{Effect, effects};
pub use harness::faults::{Fault, Hit, Injector, Set, Whose};
pub use harness::host::Host;
pub use harness::instance::{address, namespace_owner, pid, state, status};
pub use harness::ran::Ran;
pub use harness::report::report;
pub use harness::snapshot::{HostSnapshot, processes};
pub use harness::terminal::Terminal;
pub use harness::traced::{Counts, traced};
pub use harness::wait::{eventually, patient, until};

/// Whether the tests that take long were asked for (`scripts/test --full`).
pub fn full() -> bool {
    std::env::var_os("SC_TEST_FULL").is_some()
}
