//! Instances: one task owns one instance.
//!
//! ```text
//!            created                start                 booted
//! Creating ──────────> Stopped ──────────────> Starting ──────────> Running
//!                       ^   │ ^                   │ failed            │  │ guest reboots:
//!                       │   │ └───────────────────┘                   │  └─ stays Running
//!                       │   │ delete                                  │ stop, or ends itself
//!                       │   v                                         v
//!                       │ Deleting ─> (gone)                      Stopping
//!                       └─────────────────────────────────────────────┘ cleared up
//! ```
//!
//! Beside these there is Silent: the agent of an instance that ran does not answer, now or when the daemon
//! comes back ([`seek`]). It is Running again when the agent does, and Stopped when that has gone or the
//! guest is killed.
//!
//! Only the owner task ([`owner`]) moves an instance along these arrows. Requests come to it
//! through a queue; whether one is accepted is decided by [`queue`], a pure function. The state
//! leaves through a watch channel as a [`View`], which readers look at without asking anybody.
//!
//! Everything that stands outside for the sake of a run (cgroup, links, id range, agent) is named
//! by a `RunPlan` in the journal before it is made, and [`teardown`](stop) takes it away by that
//! plan, whoever made it.

mod agent;
mod command;
mod config;
mod console;
mod create;
mod delete;
mod exec;
mod fit;
mod handle;
mod keep;
mod name;
mod nics;
mod owner;
mod profile_users;
mod queue;
mod recover;
mod registry;
mod run;
mod seek;
mod spec;
mod start;
mod stop;
mod stream;
mod unfinished;
mod update;
mod view;
mod volume;

pub use command::StopMode;
pub use create::{precheck, refuse_stateful};
pub use handle::InstanceHandle;
pub use recover::Recovered;
pub use registry::Instances;
pub use update::Update;

pub mod attach {
    //! What connects a client to an instance.
    pub use super::console::{run as run_console, sockets as console_sockets};
    pub use super::exec::{
        Program, request, run_split, run_terminal, shell_status, sockets as exec_sockets,
    };
    pub use super::run::Run;
}
