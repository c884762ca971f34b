//! What a first start makes, so that nothing needs to be set up: a pool, a bridge, a profile.

use std::collections::BTreeMap;

use sc_api::{DeviceMap, ErrorKind, ProfilePut};

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::manager::DEFAULT_POOL;
use crate::model::{DEFAULT_PROFILE, NetworkRecord, PoolRecord};

/// How many names and subnets are tried for the bridge.
const NETWORK_TRIES: u32 = 5;

/// Makes the defaults where there is no default profile yet, which is made last: so what a crash
/// has interrupted is finished, and what a user has removed stays away.
pub async fn make(ctx: &Ctx) -> Result<()> {
    if ctx.profiles.get(DEFAULT_PROFILE).is_ok() {
        return Ok(());
    }
    make_pool(ctx).await?;
    let network = match make_network(ctx).await {
        Ok(name) => Some(name),
        Err(error) => {
            // Guests without a network are of use; a daemon that does not start is of none.
            tracing::warn!(error = %error.chain(), "no default network: make one with sc network create");
            None
        }
    };
    let put = ProfilePut {
        description: "Default profile".into(),
        config: BTreeMap::new(),
        devices: devices(network.as_deref()),
    };
    // Whether the network came up or not: it can be mended later.
    let held = ctx.references.hold().await;
    ctx.profiles.create(DEFAULT_PROFILE.parse()?, put, &held).await
}

async fn make_pool(ctx: &Ctx) -> Result<()> {
    if ctx.store.list_docs::<PoolRecord>(&[])?.is_empty() {
        let (name, folder) = (DEFAULT_POOL.parse()?, ctx.paths.pool(DEFAULT_POOL));
        if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::conflict(format!(
                "the database in {} knows of no pool, but {} has one: put the database back that \
                 belongs to it, or move {} away",
                ctx.paths.store().display(),
                folder.display(),
                ctx.paths.root().display()
            )));
        }
        let none = BTreeMap::new();
        ctx.pools.create(name, "overlay", String::new(), none).await?;
    }
    Ok(())
}

async fn make_network(ctx: &Ctx) -> Result<String> {
    if let Some(found) = ctx.store.list_docs::<NetworkRecord>(&[])?.into_iter().next() {
        return Ok(found.value.name.to_string());
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let name = sc_network::pick_free_name(ctx.networks.links(), "scbr").await?;
        let none = BTreeMap::new();
        match ctx.networks.create(name.parse()?, String::new(), &none).await {
            Ok(()) => return Ok(name),
            // Another daemon that starts at the same time may have taken the name or the subnet.
            Err(error) if tries < NETWORK_TRIES && error.kind() != ErrorKind::Unavailable => {
                tracing::info!(network = name, error = %error.chain(), "another default network");
            }
            Err(error) => return Err(error),
        }
    }
}

fn devices(network: Option<&str>) -> DeviceMap {
    let device = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let root = device(&[("type", "disk"), ("path", "/"), ("pool", DEFAULT_POOL)]);
    let mut devices = DeviceMap::from([("root".to_owned(), root)]);
    if let Some(network) = network {
        let nic = device(&[("type", "nic"), ("name", "eth0"), ("network", network)]);
        devices.insert("eth0".to_owned(), nic);
    }
    devices
}
