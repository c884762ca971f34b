//! Whether this host has what a configuration asks for.
//!
//! Asked when it is set, so that a slip is told at once, and only of what is new: what was there
//! when it was set may be away for a while (a disk that is not plugged in), and the start asks again.

use sc_profiles::{CpuLimit, Disk, Effective};

use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Refuses what `after` asks of the host beyond `before` and the host does not have.
pub(super) async fn check(ctx: &Ctx, before: Option<&Effective>, after: &Effective) -> Result<()> {
    let known = before.map_or(&[][..], |before| &before.disks);
    let new = after.disks.iter().filter(|disk| !known.contains(disk));
    let disks: Vec<Disk> = new.cloned().collect();
    let cpus = match &after.limits.cpu {
        Some(CpuLimit::Set(set)) if before.is_none_or(|b| b.limits.cpu != after.limits.cpu) => {
            Some(set.iter().collect())
        }
        _ => None,
    };
    if disks.is_empty() && cpus.is_none() {
        return Ok(());
    }
    let ctx = ctx.clone();
    blocking(move || {
        disks.iter().try_for_each(|disk| source_exists(disk).map(drop))?;
        let Some(cpus) = cpus else { return Ok(()) };
        let has = ctx.host.cgroups.check_cpus(&cpus);
        has.map_err(|error| Error::from(error).within("set limits.cpu"))
    })
    .await
}

/// Whether a disk's source is there; a missing one is an error unless the device says otherwise.
pub(super) fn source_exists(disk: &Disk) -> Result<bool> {
    let exists = disk.source.exists();
    if !exists && disk.required {
        return Err(Error::invalid(format!(
            "Missing source path {:?} for disk {:?}: make it, or set required=false",
            disk.source, disk.device
        )));
    }
    Ok(exists)
}
