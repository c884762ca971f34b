//! What an instance's NICs hold of their networks, running or not: hardware addresses, IP addresses,
//! names. It is reserved with the network, and written down in the instance's record.

use std::collections::BTreeMap;

use sc_network::{Mac, ReserveRequest};
use sc_profiles::Effective;

use crate::context::Ctx;
use crate::error::{Result, chain};
use crate::model::{InstanceRecord, NicRecord};

/// Reserves what the NICs need and writes it into the record; what they hold already stays theirs. Once the
/// record is committed, [`settle`] gives back what it holds no more; if it cannot be, [`put_back`] what is new.
/// Returns whether the record is another now.
pub(super) fn hold(ctx: &Ctx, record: &mut InstanceRecord, effective: &Effective) -> Result<bool> {
    let nics = match reserve(ctx, record, effective) {
        Ok(nics) if nics == record.nics => return Ok(false),
        other => other?,
    };
    for device in record.nics.keys().filter(|device| !nics.contains_key(*device)) {
        record.config.remove(&hwaddr_key(device));
    }
    // Where LXD's users look for it. Of one that sets its own it is not kept: that may be taken away again.
    for nic in effective.nics.iter().filter(|nic| nic.hwaddr.is_none()) {
        if let Some(made) = nics.get(&nic.device) {
            record.config.insert(hwaddr_key(&nic.device), made.reservation.mac.to_string());
        }
    }
    record.nics = nics;
    Ok(true)
}

/// Whether an instance could have these NICs, which it is not to hold now.
pub(super) fn check(ctx: &Ctx, record: &InstanceRecord, effective: &Effective) -> Result<()> {
    let nics = reserve(ctx, record, effective)?;
    put_back(ctx, record, &nics);
    Ok(())
}

fn hwaddr_key(device: &str) -> String {
    format!("volatile.{device}.hwaddr")
}

fn reserve(
    ctx: &Ctx,
    record: &InstanceRecord,
    effective: &Effective,
) -> Result<BTreeMap<String, NicRecord>> {
    let mut nics = BTreeMap::new();
    let reserved = reserve_each(ctx, record, effective, &mut nics);
    if reserved.is_err() {
        put_back(ctx, record, &nics);
    }
    reserved.map(|()| nics)
}

fn reserve_each(
    ctx: &Ctx,
    record: &InstanceRecord,
    effective: &Effective,
    nics: &mut BTreeMap<String, NicRecord>,
) -> Result<()> {
    for nic in &effective.nics {
        let network = ctx.networks.of_device(&nic.device, &nic.network)?;
        let mac: Mac = match &nic.hwaddr {
            Some(text) => text.parse()?,
            None => Mac::random(),
        };
        let reservation = network.reserve(&ReserveRequest {
            instance: record.name.to_string(),
            device: nic.device.clone(),
            hostname: record.name.to_string(),
            mac,
            ipv4: nic.ipv4,
            ipv6: nic.ipv6,
        })?;
        nics.insert(nic.device.clone(), NicRecord { network: nic.network.parse()?, reservation });
    }
    Ok(())
}

/// Undoes what was reserved: `nics`, which the instance does not have, as `record` still says what it holds.
pub(super) fn put_back(ctx: &Ctx, record: &InstanceRecord, nics: &BTreeMap<String, NicRecord>) {
    for (device, nic) in nics {
        let Ok(network) = ctx.networks.get(nic.network.as_str()) else { continue };
        let before = record.nics.get(device).filter(|before| before.network == nic.network);
        network.put_back(record.name.as_str(), device, before.map(|nic| nic.reservation.clone()));
    }
}

/// What was reserved is written down: gives back what NICs held that the instance had `before` and has no
/// more `after`.
pub(super) async fn settle(ctx: &Ctx, before: &InstanceRecord, after: &InstanceRecord) {
    for (device, nic) in &after.nics {
        if let Ok(network) = ctx.networks.get(nic.network.as_str()) {
            network.settle(after.name.as_str(), device);
        }
    }
    for (device, nic) in &before.nics {
        if after.nics.get(device).is_none_or(|kept| kept.network != nic.network) {
            release_one(ctx, before, device, nic).await;
        }
    }
}

/// Takes an instance out of its networks' DHCP and DNS, going on past failures; returns the first. What it
/// holds stays its own until it is [`free`].
pub(super) async fn withdraw(ctx: &Ctx, record: &InstanceRecord) -> Result<()> {
    let mut withdrawn = Ok(());
    for (device, nic) in &record.nics {
        if let Ok(network) = ctx.networks.get(nic.network.as_str()) {
            withdrawn = withdrawn.and(network.withdraw(record.name.as_str(), device).await);
        }
    }
    Ok(withdrawn?)
}

/// Frees everything that a record holds.
pub(super) fn free(ctx: &Ctx, record: &InstanceRecord) {
    for (device, nic) in &record.nics {
        if let Ok(network) = ctx.networks.get(nic.network.as_str()) {
            network.free(record.name.as_str(), device);
        }
    }
}

/// Gives back everything that a record holds, written down or not.
pub(super) async fn release(ctx: &Ctx, record: &InstanceRecord) {
    for (device, nic) in &record.nics {
        release_one(ctx, record, device, nic).await;
    }
}

async fn release_one(ctx: &Ctx, record: &InstanceRecord, device: &str, nic: &NicRecord) {
    let Ok(network) = ctx.networks.get(nic.network.as_str()) else { return };
    if let Err(error) = network.release(record.name.as_str(), device).await {
        tracing::warn!(instance = %record.name, device, error = chain(&error),
            "give an address back");
    }
}
