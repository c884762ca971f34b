//! Networks: managed bridges, their records and what stands for them outside.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sc_api::{ConfigMap, NetworkName};
use sc_network::{BridgeConfig, Links, Network, Reservation};
use sc_store::{Draft, delete_doc};

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{InstanceRecord, Intent, NetworkRecord, PROJECT};

/// The networks.
pub struct Networks {
    context: sc_network::Context,
    up: RwLock<BTreeMap<String, Network>>,
}

impl Networks {
    /// No network yet; dnsmasq will live in the agents' cgroup, outside every guest's limits.
    pub fn new(host: &Host) -> Result<Self> {
        let mut context = sc_network::Context::new(Links::new()?);
        let agents = host.cgroups.agents();
        context.place = Some(Arc::new(move |pid| {
            let unified = agents.v2.join("cgroup.procs");
            let mut procs = agents.v1.iter().chain([&unified]);
            procs.try_for_each(|procs| std::fs::write(procs, pid.to_string()))
        }));
        Ok(Self { context, up: RwLock::default() })
    }

    /// The network of this name.
    pub fn get(&self, name: &str) -> Result<Network> {
        let found = self.up.read().expect("no panic while networks are locked").get(name).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!("Failed loading network \"{name}\": Network not found"))
        })
    }

    /// The netlink handle.
    pub fn links(&self) -> &Links {
        &self.context.links
    }

    /// Brings up all networks of the store, with what their instances hold. One that fails is
    /// logged; its instances cannot start until it is mended.
    pub async fn start_all(&self, ctx: &Ctx) -> Result<()> {
        self.recover(ctx).await?;
        let instances = ctx.store.list_docs::<InstanceRecord>(&[PROJECT])?;
        for record in ctx.store.list_docs::<NetworkRecord>(&[])? {
            let name = record.value.name.clone();
            let held = instances
                .iter()
                .flat_map(|instance| instance.value.nics.values())
                .filter(|nic| nic.network == name)
                .map(|nic| nic.reservation.clone())
                .collect();
            if let Err(error) = self.start(ctx, &record.value, held).await {
                tracing::error!(network = %name, error = %error.chain(), "bring a network up");
            }
        }
        Ok(())
    }

    /// Makes a network. Addresses that are missing or `auto` are chosen free of the host's routes.
    pub async fn create(
        &self,
        ctx: &Ctx,
        name: NetworkName,
        description: String,
        config: &ConfigMap,
    ) -> Result<()> {
        if self.get(name.as_str()).is_ok() {
            return Err(Error::conflict(format!("Network \"{name}\" already exists")));
        }
        let config = sc_network::choose_subnets(config, self.links()).await?;
        BridgeConfig::parse(name.as_str(), &config)?;
        let record = NetworkRecord { name: name.clone(), description, config };
        let intent = ctx.journal.begin(&Intent::CreateNetwork { network: name.clone() }).await?;
        let made = async {
            self.start(ctx, &record, Vec::new()).await?;
            let mut draft = Draft::new();
            draft.create(&record)?.change(ctx.journal.clear_change(intent));
            Ok::<_, Error>(ctx.store.apply(draft).await?)
        };
        if let Err(error) = made.await {
            self.take_down(ctx, name.as_str()).await?;
            ctx.journal.clear(intent).await?;
            return Err(error.within(format!("create network {name}")));
        }
        Ok(())
    }

    /// Takes a network away that nothing uses.
    pub async fn delete(&self, ctx: &Ctx, name: &str) -> Result<()> {
        let record = self.record(ctx, name)?;
        if !self.used_by(ctx, name)?.is_empty() {
            return Err(Error::invalid("The network is currently in use"));
        }
        let network = record.name.clone();
        let intent = ctx.journal.begin(&Intent::DeleteNetwork { network }).await?;
        self.take_down(ctx, name).await?;
        let mut draft = Draft::new();
        draft.change(delete_doc::<NetworkRecord>(&[name])?);
        draft.change(ctx.journal.clear_change(intent));
        ctx.store.apply(draft).await?;
        Ok(())
    }

    /// The record of a network.
    pub fn record(&self, ctx: &Ctx, name: &str) -> Result<NetworkRecord> {
        let found = ctx.store.get_doc::<NetworkRecord>(&[name])?;
        Ok(found.ok_or_else(|| Error::not_found("Network not found"))?.value)
    }

    /// Paths of the instances and profiles that use a network.
    pub fn used_by(&self, ctx: &Ctx, name: &str) -> Result<Vec<String>> {
        let uses = |devices: &sc_api::DeviceMap| {
            devices.values().any(|device| device.get("network").is_some_and(|n| n == name))
        };
        let mut paths: Vec<String> = ctx
            .instances
            .list()
            .iter()
            .filter(|instance| uses(&instance.view().expanded.devices))
            .map(|instance| format!("/1.0/instances/{}", instance.name()))
            .collect();
        for profile in ctx.profiles.list()? {
            if uses(&profile.devices) {
                paths.push(format!("/1.0/profiles/{}", profile.name));
            }
        }
        Ok(paths)
    }

    async fn start(&self, ctx: &Ctx, record: &NetworkRecord, held: Vec<Reservation>) -> Result<()> {
        let name = record.name.as_str();
        let config = BridgeConfig::parse(name, &record.config)?;
        let state = ctx.paths.network(name);
        let network = Network::start(config, &state, self.context.clone()).await?;
        network.load_reservations(held).await?;
        self.up.write().expect("no panic while networks are locked").insert(name.into(), network);
        Ok(())
    }

    async fn take_down(&self, ctx: &Ctx, name: &str) -> Result<()> {
        let network = self.up.write().expect("no panic while networks are locked").remove(name);
        match network {
            Some(network) => network.stop().await?,
            None => {
                Network::remove_traces(name, &ctx.paths.network(name), &self.context).await?;
            }
        }
        Ok(())
    }

    /// Takes back creations that were not finished and finishes deletions.
    async fn recover(&self, ctx: &Ctx) -> Result<()> {
        for (id, intent) in ctx.journal.pending()? {
            let (Intent::CreateNetwork { network } | Intent::DeleteNetwork { network }) = intent
            else {
                continue;
            };
            tracing::info!(%network, "taking a network away that was half made or half deleted");
            self.take_down(ctx, network.as_str()).await?;
            let mut draft = Draft::new();
            draft.change(delete_doc::<NetworkRecord>(&[network.as_str()])?);
            draft.change(ctx.journal.clear_change(id));
            ctx.store.apply(draft).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").finish_non_exhaustive()
    }
}
