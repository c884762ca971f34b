//! Whether this host has what a configuration asks for.
//!
//! Asked when it is set, so that a slip is told at once, and only of what is new: what was there
//! when it was set may be away for a while (a disk that is not plugged in), and the start asks again.

use std::io;
use std::time::Duration;

use sc_api::ErrorKind;
use sc_profiles::{CpuLimit, Disk, Effective};

use crate::blocking::{blocking, look};
use crate::context::Ctx;
use crate::error::{Context, Error, Result};

/// How long the source of a disk may take to be looked at.
const PATIENCE: Duration = Duration::from_secs(10);

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
    there(&disks).await?;
    let Some(cpus) = cpus else { return Ok(()) };
    let ctx = ctx.clone();
    blocking(move || {
        let has = ctx.host.cgroups.check_cpus(&cpus);
        has.map_err(|error| Error::from(error).within("set limits.cpu"))
    })
    .await
}

/// The disks whose source is there; a missing one is an error unless the device says otherwise.
pub(super) async fn there(disks: &[Disk]) -> Result<Vec<Disk>> {
    let mut there = Vec::new();
    for disk in disks {
        if is_there(disk).await? {
            there.push(disk.clone());
        }
    }
    Ok(there)
}

/// A source may lie on a file system that does not answer: nobody waits for it longer than a while.
async fn is_there(disk: &Disk) -> Result<bool> {
    let (device, path) = (&disk.device, disk.source.clone());
    let looked = look(PATIENCE, move || Ok(path.try_exists())).await;
    let silent = || {
        let (source, seconds) = (&disk.source, PATIENCE.as_secs());
        let text = format!(
            "source {source:?} of disk {device:?} does not answer within {seconds} s: see to its disk or \
             file server, or remove the device"
        );
        Error::new(ErrorKind::Unavailable, text)
    };
    let missing = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename)
    };
    match looked.ok_or_else(silent)?? {
        Ok(true) => Ok(true),
        Err(error) if disk.required && !missing(&error) => Err(error).context(format!(
            "look at source {:?} of disk {device:?}: see to what is mounted there, or remove the device",
            disk.source
        )),
        _missing if disk.required => Err(Error::invalid(format!(
            "Missing source path {:?} for disk {device:?}: make it, or set required=false",
            disk.source
        ))),
        _missing => Ok(false),
    }
}
