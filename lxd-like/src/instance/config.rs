//! What an instance's configuration comes to with its profiles.

use sc_api::{ConfigMap, DeviceMap, ProfileName};
use sc_profiles::{Effective, Layer, Origin, Settings};

use super::view::{Phase, View};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::{InstanceRecord, ProfileRecord};

/// A configuration that is allowed.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Typed.
    pub effective: Effective,
    /// As the API shows it.
    pub expanded: Settings,
}

/// Decides whether an instance may have this configuration; the one way in for all of them.
pub fn check(
    ctx: &Ctx,
    profiles: &[ProfileName],
    config: &ConfigMap,
    devices: &DeviceMap,
    origin: Origin<'_>,
) -> Result<Checked> {
    let profiles = ctx.profiles.get_all(profiles)?;
    check_with(&profiles, config, devices, origin)
}

/// As [`check`], with profiles that may differ from those in the store.
pub fn check_with(
    profiles: &[ProfileRecord],
    config: &ConfigMap,
    devices: &DeviceMap,
    origin: Origin<'_>,
) -> Result<Checked> {
    let layers: Vec<_> = profiles.iter().map(layer).collect();
    let own = Settings { config: config.clone(), devices: devices.clone() };
    let effective = sc_profiles::check_instance(&layers, &own, origin)?;
    Ok(Checked { effective, expanded: sc_profiles::expand(&layers, &own) })
}

/// What the instance's configuration comes to now. It was allowed when it was written.
pub fn of_record(ctx: &Ctx, record: &InstanceRecord) -> Result<Checked> {
    check(ctx, &record.profiles, &record.config, &record.devices, Origin::Daemon)
}

fn layer(profile: &ProfileRecord) -> Layer<'_> {
    Layer { name: profile.name.as_str(), config: &profile.config, devices: &profile.devices }
}

/// What an instance's configuration comes to as it is shown.
pub fn shown(view: &View) -> Result<Effective> {
    Ok(sc_profiles::check_instance(&[], &view.expanded, Origin::Daemon)?)
}

/// Decides whether an instance may follow its profiles when they are these: what it would come to
/// must be allowed, and a running one must be able to take it. Returns what it comes to now and then.
pub fn check_profiles(
    view: &View,
    profiles: &[ProfileRecord],
    origin: Origin<'_>,
) -> Result<(Effective, Effective)> {
    let record = &view.record;
    let after = check_with(profiles, &record.config, &record.devices, origin)?;
    let before = shown(view)?;
    let diff = sc_profiles::diff(&before, &after.effective);
    // One that is being started has what its profiles have brought so far.
    let guest = view.phase.has_guest() || matches!(view.phase, Phase::Starting);
    match diff.refusal(guest) {
        None => Ok((before, after.effective)),
        Some(refusal) => Err(Error::invalid(format!("{}: {}", refusal.what, refusal.why))),
    }
}
