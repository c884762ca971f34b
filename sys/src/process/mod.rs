//! Processes: made with `clone3`, held by pidfd, reaped, and given what a guest's init is born with.

mod attributes;
mod child;
mod clone;
pub(crate) mod vfork;

pub(crate) use attributes::reset_signals_raw;
pub use attributes::{
    DeathSignal, Limit, Resource, become_session_leader, close_from, close_inherited_but,
    fork_safe, ignore_signal, join_session_keyring, limits, no_new_privileges, raise_limit,
    reset_affinity, reset_signals, set_controlling_terminal, set_death_signal, set_gid_uid,
    set_host_name, set_limit, set_oom_score_adjust, set_umask,
};
pub use child::{Child, Exit, Wait, open_pidfd, reap_any, send_signal};
pub use clone::{CloneOptions, spawn_child};
