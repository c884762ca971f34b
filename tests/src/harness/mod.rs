//! The parts of the harness, one a file.

pub mod begun;
pub mod boots;
pub mod caller;
pub mod cgroup;
pub mod clean;
pub mod crash;
pub mod daemon;
pub mod disk;
pub mod docker;
pub mod effects;
mod ending;
pub mod faults;
pub mod host;
pub mod instance;
pub mod programs;
pub mod ran;
pub mod report;
pub mod snapshot;
pub mod terminal;
pub mod traced;
pub mod wait;
