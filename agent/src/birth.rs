//! What every program of a guest is born with, init and exec alike.

use rustix::process::DumpableBehavior;
use sc_sys::process::{
    Limit, Resource, limits, reset_affinity, reset_signals, set_limit, set_oom_score_adjust,
    set_umask,
};
use sc_sys::{Result, SysError, caps};

/// Limits that count for the whole user namespace: what its maker has when it is made stays its ceiling.
const COUNTED_BY_NAMESPACE: [Resource; 4] =
    [Resource::Nproc, Resource::Msgqueue, Resource::Sigpending, Resource::Memlock];

const NEVER: Option<u64> = None;
const FILES: u64 = 1 << 20;
const MEBIBYTE: u64 = 1 << 20;

/// What a guest's processes start with, as after a real boot, but with hard limits that its root can work
/// with: it may not raise them. What the whole guest takes is limited by its cgroup.
const GUEST: [(Resource, Option<u64>, Option<u64>); 14] = [
    (Resource::As, NEVER, NEVER),
    (Resource::Core, Some(0), NEVER),
    (Resource::Cpu, NEVER, NEVER),
    (Resource::Data, NEVER, NEVER),
    (Resource::Fsize, NEVER, NEVER),
    (Resource::Memlock, Some(8 * MEBIBYTE), NEVER),
    (Resource::Msgqueue, Some(819_200), NEVER),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Nofile, Some(1024), Some(FILES)),
    (Resource::Nproc, NEVER, NEVER),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Rttime, NEVER, NEVER),
    (Resource::Sigpending, NEVER, NEVER),
    (Resource::Stack, Some(8 * MEBIBYTE), NEVER),
];

/// Raises the agent's own limits as far as the host allows, before the user namespace is made.
pub(crate) fn raise_own_limits() {
    for resource in COUNTED_BY_NAMESPACE {
        // Inside a guest the ceiling is what that guest has.
        if set_limit(resource, Limit { soft: NEVER, hard: NEVER }).is_err() {
            let _ = sc_sys::process::raise_limit(resource);
        }
    }
    if set_limit(Resource::Nofile, Limit { soft: Some(FILES), hard: Some(FILES) }).is_err() {
        let _ = sc_sys::process::raise_limit(Resource::Nofile);
    }
}

/// Keeps everyone without capabilities on the host from tracing this process, reading its memory or
/// taking its descriptors, until it executes a program.
///
/// The agent does so at its start and its children inherit it; after a change of ids it has to be repeated,
/// since the kernel then puts in what the sysctl `fs.suid_dumpable` says.
pub(crate) fn hide_from_guest() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| SysError::new("set", "dumpable", error))
}

/// Sets what is set from outside of the guest's namespaces: limits, memory score, processors.
pub(crate) fn prepare_outside() -> Result<()> {
    for (resource, soft, hard) in GUEST {
        if set_limit(resource, Limit { soft, hard }).is_err() {
            let ceiling = limits(resource).hard;
            let lower = |wanted: Option<u64>, most: Option<u64>| match (wanted, most) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            set_limit(resource, Limit { soft: lower(soft, ceiling), hard: lower(hard, ceiling) })?;
        }
    }
    set_oom_score_adjust(0)?;
    reset_affinity()
}

/// Makes a clean slate inside the guest, as its root: capabilities, signals, file mode mask.
pub(crate) fn prepare_inside() -> Result<()> {
    caps::restrict(&caps::DROPPED_BY_DEFAULT)?;
    reset_signals()?;
    set_umask(0o022);
    Ok(())
}
