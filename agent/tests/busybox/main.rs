//! A busybox guest, from its boot to its end, by an agent started as the daemon starts it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../harness/mod.rs"]
mod harness;

mod boot;
mod console;
mod daemons;
mod ends;
mod failures;
mod hanging;
mod measures;
mod programs;

/// Without root there is nothing to test.
macro_rules! need_root {
    () => {
        if !crate::harness::is_root() {
            eprintln!("skipped: needs root");
            return;
        }
    };
}
pub(crate) use need_root;
