//! The command line as users meet it, against a small server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../../../client/tests/fake/mod.rs"]
mod fake;

mod complete;
mod config;
mod create;
mod exec;
mod harness;
mod list;
mod objects;
mod server;
mod silent;
mod state;
mod usage;
