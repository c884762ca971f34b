//! The copy of an instance's configuration that lies beside its volume.
//!
//! From it a lost database can be rebuilt: it holds everything that the instance is, what its
//! profiles give included. It is written behind the request that changed it.

use serde::Serialize;

use sc_profiles::Settings;
use sc_storage::VolumeName;

use super::view::View;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::model::{InstanceRecord, NetworkRecord, ProfileRecord};

/// What the copy holds. It is JSON, which YAML readers read as well.
#[derive(Debug, Serialize)]
struct Copy<'a> {
    instance: &'a InstanceRecord,
    expanded_config: &'a sc_api::ConfigMap,
    expanded_devices: &'a sc_api::DeviceMap,
    profiles: Vec<ProfileRecord>,
    networks: Vec<NetworkRecord>,
}

/// Writes the copy in the background. A failure is logged: the store has what counts.
pub(super) fn keep_copy(ctx: &Ctx, view: &View) {
    let (record, expanded) = (view.record.clone(), view.expanded.clone());
    let ctx = ctx.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = write(&ctx, &record, &expanded) {
            tracing::warn!(instance = %record.name, error = %error.chain(),
                "write the copy of an instance's configuration");
        }
    });
}

fn write(ctx: &Ctx, record: &InstanceRecord, expanded: &Settings) -> Result<()> {
    let networks = record.nics.values().map(|nic| ctx.networks.record(nic.network.as_str()));
    let copy = Copy {
        instance: record,
        expanded_config: &expanded.config,
        expanded_devices: &expanded.devices,
        profiles: ctx.profiles.get_all(&record.profiles)?,
        networks: networks.collect::<Result<_>>()?,
    };
    let text = serde_json::to_vec_pretty(&copy)
        .map_err(|error| Error::internal(format!("serialise the copy: {error}")))?;
    let pool = ctx.pools.get(record.pool.as_str())?;
    let volume = VolumeName::new(record.name.as_str())?;
    // The instance may have been deleted meanwhile, and its copy with it.
    if pool.has_volume(&volume)? {
        pool.write_backup(&volume, &text)?;
    }
    Ok(())
}
