//! Networks: managed bridges, their records and what stands for them outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use sc_api::{ConfigMap, NetworkName};
use sc_network::{BridgeConfig, Links, Network, Port, Reservation};
use sc_store::{Draft, IntentId, Journal, Store, delete_doc};

use super::references::{References, no_device, users};
use super::roster::{Roster, begin_once};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{InstanceRecord, Intent, NetworkRecord, PROJECT};
use crate::paths::Paths;

/// The networks.
pub struct Networks {
    store: Store,
    journal: Journal<Intent>,
    paths: Arc<Paths>,
    context: sc_network::Context,
    references: References,
    roster: Roster<Network>,
}

impl Networks {
    /// No network yet; dnsmasq will live in the agents' cgroup, outside every guest's limits.
    pub fn new(
        store: Store,
        journal: Journal<Intent>,
        paths: Arc<Paths>,
        host: &Host,
        references: References,
    ) -> Result<Self> {
        let mut context = sc_network::Context::new(Links::new()?);
        let agents = host.cgroups.agents();
        context.place = Some(Arc::new(move |pid| {
            let unified = agents.v2.join("cgroup.procs");
            let mut procs = agents.v1.iter().chain([&unified]);
            procs.try_for_each(|procs| std::fs::write(procs, pid.to_string()))
        }));
        let roster = Roster::new("Network", "sc network list");
        Ok(Self { store, journal, paths, context, references, roster })
    }

    /// The network of this name.
    pub fn get(&self, name: &str) -> Result<Network> {
        self.roster.get(name)
    }

    /// The network that a device names.
    pub fn of_device(&self, device: &str, name: &str) -> Result<Network> {
        self.get(name)
            .map_err(|error| no_device(device, error, &format!("sc network create {name}")))
    }

    /// The netlink handle.
    pub fn links(&self) -> &Links {
        &self.context.links
    }

    /// Brings up all networks of the store, with what their instances hold and those that run plugged
    /// in. One that fails is logged; its instances cannot start until it is mended.
    pub async fn start_all(&self) -> Result<()> {
        self.recover().await?;
        let instances = self.store.list_docs::<InstanceRecord>(&[PROJECT])?;
        for record in self.store.list_docs::<NetworkRecord>(&[])? {
            let name = record.value.name.clone();
            let held = instances
                .iter()
                .flat_map(|instance| instance.value.nics.values())
                .filter(|nic| nic.network == name)
                .map(|nic| nic.reservation.clone())
                .collect();
            let running = self.ports(&name)?;
            if let Err(error) = self.start(&record.value, held, &running).await {
                self.roster.down(name.as_str(), &error);
            }
        }
        Ok(())
    }

    /// Makes a network. Addresses that are missing or `auto` are chosen free of the host's routes.
    pub async fn create(
        &self,
        name: NetworkName,
        description: String,
        config: &ConfigMap,
    ) -> Result<()> {
        let _ours = self.roster.claim(name.as_str())?;
        if self.record(name.as_str()).is_ok() {
            return Err(Error::conflict(format!("Network \"{name}\" already exists")));
        }
        let config = sc_network::choose_subnets(config, self.links()).await?;
        BridgeConfig::parse(name.as_str(), &config)?;
        let record = NetworkRecord { name: name.clone(), description, config };
        let creation = Intent::CreateNetwork { network: name.clone() };
        let intent = begin_once(&self.journal, &creation).await?;
        let made = async {
            self.start(&record, Vec::new(), &[]).await?;
            let mut draft = Draft::new();
            draft.create(&record)?.change(self.journal.clear_change(intent));
            Ok::<_, Error>(self.journal.apply(draft).await?)
        };
        if let Err(error) = made.await {
            let network = self.roster.gone(name.as_str());
            if let Err(error) = self.take_back(name.as_str(), network, intent).await {
                // The entry stays, for the next creation or the next start.
                tracing::error!(%name, error = %error.chain(), "take back a network");
            }
            return Err(error.within(format!("create network {name}")));
        }
        Ok(())
    }

    /// Takes away what a creation has made that failed.
    async fn take_back(
        &self,
        name: &str,
        network: Option<Network>,
        intent: IntentId,
    ) -> Result<()> {
        self.take_down(name, network).await?;
        Ok(self.journal.clear(intent).await?)
    }

    /// Takes a network away that nothing uses.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let _ours = self.roster.claim(name)?;
        let record = self.record(name)?;
        let settled = self.references.settle().await;
        Error::refuse_if_used("network", name, &self.used_by(name)?)?;
        let deletion = Intent::DeleteNetwork { network: record.name };
        let intent = begin_once(&self.journal, &deletion).await?;
        let network = self.roster.going(name);
        drop(settled);
        self.finish_deletion(intent, name, network).await
    }

    /// The record of a network.
    pub fn record(&self, name: &str) -> Result<NetworkRecord> {
        let found = self.store.get_doc::<NetworkRecord>(&[name])?;
        Ok(found.ok_or_else(|| self.roster.not_found(name))?.value)
    }

    /// Paths of the instances and profiles that use a network.
    pub fn used_by(&self, name: &str) -> Result<Vec<String>> {
        let names = |device: &BTreeMap<String, String>| {
            device.get("network").is_some_and(|network| network == name)
        };
        // One may have a NIC that it does not hold yet, and hold one that it has no more.
        let uses = |instance: &InstanceRecord| {
            instance.devices.values().any(names)
                || instance.nics.values().any(|nic| nic.network.as_str() == name)
        };
        users(&self.store, uses, names)
    }

    /// What this boot's runs have plugged into a network.
    fn ports(&self, network: &NetworkName) -> Result<Vec<Port>> {
        let mut ports = Vec::new();
        for (_, intent) in self.journal.pending()? {
            let Intent::Run(plan) = intent else { continue };
            if plan.boot_id != self.paths.boot_id() {
                continue;
            }
            let instance = plan.instance.to_string();
            let links = plan.links.into_iter().filter(|link| link.network == *network);
            ports.extend(links.map(|link| Port {
                instance: instance.clone(),
                device: link.device,
                host_name: link.host_name,
            }));
        }
        Ok(ports)
    }

    async fn start(
        &self,
        record: &NetworkRecord,
        held: Vec<Reservation>,
        running: &[Port],
    ) -> Result<()> {
        let name = record.name.as_str();
        let config = BridgeConfig::parse(name, &record.config)?;
        let state = self.paths.network(name);
        let network = Network::start(config, &state, self.context.clone()).await?;
        network.take_over(held, running).await?;
        self.roster.up(name, network);
        Ok(())
    }

    async fn take_down(&self, name: &str, network: Option<Network>) -> Result<()> {
        match network {
            Some(network) => network.stop().await?,
            None => {
                Network::remove_traces(name, &self.paths.network(name), &self.context).await?;
            }
        }
        Ok(())
    }

    /// Takes back creations that were not finished and finishes deletions.
    async fn recover(&self) -> Result<()> {
        for (id, intent) in self.journal.pending()? {
            let (Intent::CreateNetwork { network } | Intent::DeleteNetwork { network }) = &intent
            else {
                continue;
            };
            if let Some(why) = self.stays(network, &intent)? {
                tracing::error!(%network, "a network that is to be taken away stays: {why}");
                self.journal.clear(id).await?;
                continue;
            }
            tracing::info!(%network, "taking a network away that was half made or half deleted");
            if let Err(error) = self.finish_deletion(id, network.as_str(), None).await {
                // The entry stays, for the next start.
                tracing::error!(%network, error = %error.chain(), "take a network away");
            }
        }
        Ok(())
    }

    /// Why a network stays, whatever became of the creation or deletion that has left its entry.
    fn stays(&self, network: &NetworkName, intent: &Intent) -> Result<Option<&'static str>> {
        if self.record(network.as_str()).is_err() {
            return Ok(None);
        }
        // With the record of what a creation has made its entry goes: this one has made nothing.
        let other = matches!(intent, Intent::CreateNetwork { .. });
        let used = !self.used_by(network.as_str())?.is_empty();
        Ok(other.then_some("another creation has made it").or(used.then_some("it is in use")))
    }

    async fn finish_deletion(
        &self,
        id: IntentId,
        name: &str,
        network: Option<Network>,
    ) -> Result<()> {
        self.take_down(name, network).await?;
        let mut draft = Draft::new();
        draft.change(delete_doc::<NetworkRecord>(&[name])?);
        draft.change(self.journal.clear_change(id));
        self.journal.apply(draft).await?;
        self.roster.gone(name);
        Ok(())
    }
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").finish_non_exhaustive()
    }
}
