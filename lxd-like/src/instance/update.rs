//! Changing an instance's configuration, and making a running one follow.

use std::sync::Arc;

use sc_api::{InstancePatch, InstancePut, ProfileName};
use sc_profiles::{Diff, Limits, Origin, Settings};
use sc_store::Draft;
use sc_sys::cgroup::{CpuLimit, InstanceCgroup};

use super::config::Checked;
use super::run::Run;
use super::{config, fit, nics, stop};
use crate::blocking::blocking;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::{DEFAULT_PROFILE, InstanceRecord};

/// A change that a client asks for.
#[derive(Debug, Clone)]
pub enum Update {
    /// Everything is replaced.
    Put(InstancePut),
    /// Some is set, some removed.
    Patch(InstancePatch),
}

impl Update {
    /// What the configuration becomes.
    pub(super) fn applied_to(self, before: InstancePut) -> InstancePut {
        match self {
            Self::Put(put) => put,
            Self::Patch(patch) => patched(before, patch),
        }
    }
}

fn patched(mut put: InstancePut, patch: InstancePatch) -> InstancePut {
    for (key, value) in patch.config {
        match value.is_empty() {
            true => put.config.remove(&key),
            false => put.config.insert(key, value),
        };
    }
    put.devices.extend(patch.devices);
    put.description = patch.description.unwrap_or(put.description);
    put.ephemeral = patch.ephemeral.unwrap_or(put.ephemeral);
    put.profiles = patch.profiles.or(put.profiles);
    put
}

/// The record as it becomes with a configuration.
pub(super) fn changed(record: &InstanceRecord, put: InstancePut) -> Result<InstanceRecord> {
    let mut config = put.config;
    sc_profiles::keep_volatile(&record.config, &mut config);
    // The daemon's own note changes whenever the instance starts or ends, also between a client's
    // reading and its writing: what the client has read of it does not count. What it never said is refused
    // with the other records.
    if let Some(power) = record.config.get(stop::LAST_POWER)
        && config.get(stop::LAST_POWER).is_some_and(|read| stop::POWERS.contains(&read.as_str()))
    {
        config.insert(stop::LAST_POWER.into(), power.clone());
    }
    Ok(InstanceRecord {
        description: put.description,
        ephemeral: put.ephemeral,
        profiles: profile_names(put.profiles)?,
        config,
        devices: put.devices,
        ..record.clone()
    })
}

/// Who has what an instance was started with.
pub(super) enum Holder {
    Nobody,
    /// A guest, which follows changes of limits.
    Guest(Arc<Run>),
    /// What could not be cleared up of the last run, which may still answer for its addresses.
    Remains,
}

impl Holder {
    fn guest(&self) -> Option<&Arc<Run>> {
        match self {
            Self::Guest(run) => Some(run),
            Self::Nobody | Self::Remains => None,
        }
    }
}

/// Replaces a record and shows it. A running instance follows; both or neither.
pub(super) async fn update(
    ctx: &Ctx,
    record: &InstanceRecord,
    changed: InstanceRecord,
    holder: Holder,
    show: impl FnOnce(InstanceRecord, Settings),
) -> Result<()> {
    let run = holder.guest();
    let (before, after) = check(ctx, record, &changed, run.is_some())?;
    fit::check(ctx, Some(&before.effective), &after.effective).await?;
    let limits = &after.effective.limits;
    let followed = async {
        if let Some(run) = run {
            // The kernel may take its time, and whoever comes to follow a profile would wait as well.
            apply_limits(ctx, run, limits).await?;
            ctx.steps.operation("update").reach("limits")?;
        }
        write(ctx, record, changed, &holder, limits, show).await
    };
    let followed = followed.await;
    if followed.is_err()
        && let Some(run) = run
        && let Err(error) = apply_limits(ctx, run, &before.effective.limits).await
    {
        tracing::error!(instance = %record.name, error = %error.chain(),
            "take a change of limits back");
    }
    followed
}

/// Writes a record down and shows it, while its profiles stay as they are: a change of one concerns it as it is
/// then, or has come before it. `limits` are those that the instance has by now.
async fn write(
    ctx: &Ctx,
    record: &InstanceRecord,
    mut changed: InstanceRecord,
    holder: &Holder,
    limits: &Limits,
    show: impl FnOnce(InstanceRecord, Settings),
) -> Result<()> {
    let run = holder.guest();
    let following = ctx.profiles.following().await;
    let (_, after) = check(ctx, record, &changed, run.is_some())?;
    let held = ctx.references.hold().await;
    // A guest, and what is left of one, keeps the NICs that it was started with, whatever a profile has become
    // meanwhile: the next start brings what is to be.
    match holder {
        Holder::Nobody => drop(nics::hold(ctx, &mut changed, &after.effective)?),
        Holder::Remains => nics::check(ctx, record, &after.effective)?,
        Holder::Guest(_) => {}
    }
    let written = async {
        let expanded = config::of_record(ctx, &changed)?.expanded;
        if let Some(run) = run.filter(|_| after.effective.limits != *limits) {
            apply_limits(ctx, run, &after.effective.limits).await?;
        }
        commit(ctx, &changed).await?;
        Ok(expanded)
    };
    match written.await {
        Ok(expanded) => {
            show(changed.clone(), expanded);
            drop((held, following));
            nics::settle(ctx, record, &changed).await;
            Ok(())
        }
        Err(error) => {
            nics::put_back(ctx, record, &changed.nics);
            Err(error)
        }
    }
}

/// What a record comes to, and what it would come to as another.
fn check(
    ctx: &Ctx,
    record: &InstanceRecord,
    changed: &InstanceRecord,
    running: bool,
) -> Result<(Checked, Checked)> {
    let InstanceRecord { profiles, config, devices, .. } = changed;
    let origin = Origin::Client { before: &record.config };
    let after = config::check(ctx, profiles, config, devices, origin)
        .map_err(|error| error.within("Invalid config"))?;
    let before = config::of_record(ctx, record)?;
    refuse(&sc_profiles::diff(&before.effective, &after.effective), running)?;
    Ok((before, after))
}

/// The profiles asked for; none asked for means the default one.
pub(super) fn profile_names(names: Option<Vec<String>>) -> Result<Vec<ProfileName>> {
    match names {
        None => Ok(vec![DEFAULT_PROFILE.parse()?]),
        Some(names) => names.iter().map(|name| Ok(name.parse()?)).collect(),
    }
}

fn refuse(diff: &Diff, running: bool) -> Result<()> {
    match diff.refusal(running) {
        None => Ok(()),
        Some(refusal) => Err(Error::invalid(format!("{}: {}", refusal.what, refusal.why))),
    }
}

/// Writes the record down.
pub(super) async fn commit(ctx: &Ctx, record: &InstanceRecord) -> Result<()> {
    let mut draft = Draft::new();
    draft.put(record)?;
    ctx.journal.apply(draft).await?;
    Ok(())
}

/// Makes a running instance follow its limits.
pub(super) async fn apply_limits(ctx: &Ctx, run: &Run, limits: &Limits) -> Result<()> {
    let too_little = "the instance uses more than that: raise the limit, or stop it first";
    apply_to(ctx, &run.cgroup, limits, too_little).await
}

/// Sets the limits of a cgroup that nothing of the guest runs in yet.
pub(super) async fn apply_first_limits(
    ctx: &Ctx,
    cgroup: &Arc<InstanceCgroup>,
    limits: &Limits,
) -> Result<()> {
    if matches!(limits, Limits { memory: None, cpu: None, processes: None, .. }) {
        // A new cgroup has none.
        return Ok(());
    }
    apply_to(ctx, cgroup, limits, "that is too little to start with: raise the limit").await
}

/// The error of a memory limit that the kernel does not take.
fn memory_refused(error: sc_sys::SysError, too_little: &str) -> Error {
    // With cgroup v1 the kernel refuses what it cannot free at once.
    match error.is(rustix::io::Errno::BUSY.raw_os_error()) {
        true => Error::invalid(format!("set limits.memory: {too_little}")),
        false => Error::from(error).within("set limits.memory"),
    }
}

async fn apply_to(
    ctx: &Ctx,
    cgroup: &Arc<InstanceCgroup>,
    limits: &Limits,
    too_little: &'static str,
) -> Result<()> {
    let memory = limits.memory.map(|memory| memory.bytes(ctx.host.memory_total));
    let cpu = match &limits.cpu {
        None => CpuLimit::Unlimited,
        Some(sc_profiles::CpuLimit::Count(count)) => CpuLimit::Count(*count as usize),
        Some(sc_profiles::CpuLimit::Set(set)) => CpuLimit::Set(set.iter().collect()),
    };
    let (ctx, cgroup, processes) = (ctx.clone(), cgroup.clone(), limits.processes);
    blocking(move || {
        let set = |key: &str, outcome: sc_sys::Result<()>| {
            outcome.map_err(|error| Error::from(error).within(format!("set {key}")))
        };
        cgroup.set_memory(memory).map_err(|error| memory_refused(error, too_little))?;
        set("limits.cpu", cgroup.set_cpu(&ctx.host.cgroups, &cpu).map(drop))?;
        set("limits.processes", cgroup.set_processes(processes))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_sets_removes_and_leaves_alone() {
        let before = InstancePut {
            config: [("user.a".into(), "1".into()), ("user.b".into(), "1".into())].into(),
            description: "old".into(),
            ..InstancePut::default()
        };
        let patch = InstancePatch {
            config: [("user.a".into(), String::new()), ("user.c".into(), "3".into())].into(),
            ..InstancePatch::default()
        };
        let after = patched(before, patch);
        let expected = [("user.b".into(), "1".into()), ("user.c".into(), "3".into())].into();
        assert_eq!(after.config, expected);
        assert_eq!(after.description, "old");
    }
}
