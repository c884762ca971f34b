//! The end-to-end tests, one file a theme.
//!
//! They build on `sc_tests`, need root, and run side by side. `scripts/test` prepares what they
//! need and shows what they report.

// A step that fails is the test that fails.
#![allow(clippy::unwrap_used)]

mod addresses;
mod at_once;
mod boot;
mod busybox;
mod config;
mod counts;
mod crash;
mod database;
mod disks;
mod docker;
mod effects;
mod every_step;
mod exec_stream;
mod faults;
mod hostile;
mod http;
mod hung;
mod isolation;
mod journal;
mod limits;
mod lxc;
mod packages;
mod power_cuts;
mod profiles;
mod random_kills;
mod refusals;
mod shared_objects;
mod sick;
mod soak;
mod storage;
mod streams;
mod thousand;
mod words;
