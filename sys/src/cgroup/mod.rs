//! Instances' control groups, on hosts with cgroup v1, v2 or both.
//!
//! ```text
//! <tree>                     one per daemon: a systemd scope, or a top-level directory
//! ├── agents                 supervisors and helpers, outside every guest's limits
//! └── <id>                   limits and kill act here
//!     └── payload            the guest's own, given to its root
//!         └── .sc-exec-N     where exec'd processes start
//! ```
//!
//! The tree exists in cgroup2 always and in every v1 hierarchy that is mounted; in those whose controllers are
//! not used here it is the agents' group alone, where guests stay. Kill and freeze are always
//! cgroup2's; limits are where the host has the controller. A host without a cgroup2 mount gets one that no
//! path leads to.
//!
//! What the supervisor needs ([`kill`], [`remove_below`], [`Join`]) comes without the `cgroups`
//! feature; the manager (`CgroupTree`) with it.

mod cpus;
mod join;
mod layout;
mod removal;
mod v2;
mod walk;

#[cfg(feature = "cgroups")]
mod instance;
#[cfg(feature = "cgroups")]
mod lasting;
#[cfg(feature = "cgroups")]
mod limits;
#[cfg(feature = "cgroups")]
mod scope;
#[cfg(feature = "cgroups")]
mod tree;
#[cfg(feature = "cgroups")]
mod usage;
#[cfg(feature = "cgroups")]
mod v1;

pub use cpus::CpuList;
pub use join::{Join, OpenJoin};
pub use layout::{Layout, LayoutKind, V1Hierarchy};
pub use removal::remove_below;
pub use v2::{all_exiting, is_populated, kill, wait_exiting};

#[cfg(feature = "cgroups")]
pub use {
    instance::InstanceCgroup,
    lasting::LastingTask,
    limits::CpuLimit,
    tree::{CgroupTree, FastAttach, TreeOptions},
    usage::Usage,
};
