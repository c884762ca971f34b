//! Networks: managed bridges, their records and what stands for them outside.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sc_api::{ConfigMap, ErrorKind, NetworkName};
use sc_network::{BridgeConfig, Links, Network, Reservation};
use sc_store::{Draft, IntentId, Journal, Store, delete_doc};

use super::references::{Claims, References};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{InstanceRecord, Intent, NetworkRecord, PROJECT, ProfileRecord};
use crate::paths::Paths;

/// The networks.
pub struct Networks {
    store: Store,
    journal: Journal<Intent>,
    paths: Arc<Paths>,
    context: sc_network::Context,
    references: References,
    changing: Claims,
    up: RwLock<BTreeMap<String, Up>>,
}

/// A network of the store.
enum Up {
    Network(Network),
    /// It is not up; why not.
    Failed(String),
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
        let (changing, up) = (Claims::default(), RwLock::default());
        Ok(Self { store, journal, paths, context, references, changing, up })
    }

    /// The network of this name.
    pub fn get(&self, name: &str) -> Result<Network> {
        match self.up.read().expect("no panic while networks are locked").get(name) {
            Some(Up::Network(network)) => Ok(network.clone()),
            Some(Up::Failed(why)) => {
                Err(Error::new(ErrorKind::Unavailable, format!("network {name} is not up: {why}")))
            }
            None => Err(not_found(name)),
        }
    }

    /// The netlink handle.
    pub fn links(&self) -> &Links {
        &self.context.links
    }

    /// Brings up all networks of the store, with what their instances hold. One that fails is
    /// logged; its instances cannot start until it is mended.
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
            if let Err(error) = self.start(&record.value, held).await {
                tracing::error!(network = %name, error = %error.chain(), "bring a network up");
                let why = format!("{}; mend that and restart the daemon", error.chain());
                self.set(name.as_str(), Up::Failed(why));
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
        let _ours = self.changing.claim("network", name.as_str())?;
        if self.record(name.as_str()).is_ok() {
            return Err(Error::conflict(format!("Network \"{name}\" already exists")));
        }
        let config = sc_network::choose_subnets(config, self.links()).await?;
        BridgeConfig::parse(name.as_str(), &config)?;
        let record = NetworkRecord { name: name.clone(), description, config };
        let intent = self.journal.begin(&Intent::CreateNetwork { network: name.clone() }).await?;
        let made = async {
            self.start(&record, Vec::new()).await?;
            let mut draft = Draft::new();
            draft.create(&record)?.change(self.journal.clear_change(intent));
            Ok::<_, Error>(self.store.apply(draft).await?)
        };
        if let Err(error) = made.await {
            let network = self.forget(name.as_str());
            self.take_down(name.as_str(), network).await?;
            self.journal.clear(intent).await?;
            return Err(error.within(format!("create network {name}")));
        }
        Ok(())
    }

    /// Takes a network away that nothing uses.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let _ours = self.changing.claim("network", name)?;
        let record = self.record(name)?;
        let settled = self.references.settle().await;
        Error::refuse_if_used("network", name, &self.used_by(name)?)?;
        let intent = match self.begun(&record.name)? {
            Some(intent) => intent,
            None => {
                let network = record.name.clone();
                self.journal.begin(&Intent::DeleteNetwork { network }).await?
            }
        };
        let going = "it is being deleted; where that has failed, delete it again".to_owned();
        let network = self.set(name, Up::Failed(going));
        drop(settled);
        self.finish_deletion(intent, name, network).await
    }

    /// The entry of a deletion that has failed.
    fn begun(&self, name: &NetworkName) -> Result<Option<IntentId>> {
        let begun = |intent: &Intent| matches!(intent, Intent::DeleteNetwork { network } if network == name);
        let pending = self.journal.pending()?;
        Ok(pending.into_iter().find(|(_, intent)| begun(intent)).map(|(id, _)| id))
    }

    /// The record of a network.
    pub fn record(&self, name: &str) -> Result<NetworkRecord> {
        let found = self.store.get_doc::<NetworkRecord>(&[name])?;
        Ok(found.ok_or_else(|| not_found(name))?.value)
    }

    /// Paths of the instances and profiles that use a network.
    pub fn used_by(&self, name: &str) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for instance in self.store.list_docs::<InstanceRecord>(&[PROJECT])? {
            if instance.value.nics.values().any(|nic| nic.network.as_str() == name) {
                paths.push(format!("/1.0/instances/{}", instance.value.name));
            }
        }
        for profile in self.store.list_docs::<ProfileRecord>(&[PROJECT])? {
            let mut devices = profile.value.devices.values();
            if devices.any(|device| device.get("network").is_some_and(|n| n == name)) {
                paths.push(format!("/1.0/profiles/{}", profile.value.name));
            }
        }
        Ok(paths)
    }

    async fn start(&self, record: &NetworkRecord, held: Vec<Reservation>) -> Result<()> {
        let name = record.name.as_str();
        let config = BridgeConfig::parse(name, &record.config)?;
        let state = self.paths.network(name);
        let network = Network::start(config, &state, self.context.clone()).await?;
        network.load_reservations(held).await?;
        self.set(name, Up::Network(network));
        Ok(())
    }

    /// Notes how a network of the store is; returns how it was.
    fn set(&self, name: &str, up: Up) -> Option<Up> {
        self.up.write().expect("no panic while networks are locked").insert(name.into(), up)
    }

    fn forget(&self, name: &str) -> Option<Up> {
        self.up.write().expect("no panic while networks are locked").remove(name)
    }

    async fn take_down(&self, name: &str, network: Option<Up>) -> Result<()> {
        match network {
            Some(Up::Network(network)) => network.stop().await?,
            Some(Up::Failed(_)) | None => {
                Network::remove_traces(name, &self.paths.network(name), &self.context).await?;
            }
        }
        Ok(())
    }

    /// Takes back creations that were not finished and finishes deletions.
    async fn recover(&self) -> Result<()> {
        for (id, intent) in self.journal.pending()? {
            let (Intent::CreateNetwork { network } | Intent::DeleteNetwork { network }) = intent
            else {
                continue;
            };
            let known = self.record(network.as_str()).is_ok();
            if known && !self.used_by(network.as_str())?.is_empty() {
                // Whatever became of its deletion: guests stand on it.
                tracing::error!(%network, "a network that is to be taken away is in use: it stays");
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

    async fn finish_deletion(&self, id: IntentId, name: &str, network: Option<Up>) -> Result<()> {
        self.take_down(name, network).await?;
        let mut draft = Draft::new();
        draft.change(delete_doc::<NetworkRecord>(&[name])?);
        draft.change(self.journal.clear_change(id));
        self.store.apply(draft).await?;
        self.forget(name);
        Ok(())
    }
}

fn not_found(name: &str) -> Error {
    Error::not_found(format!("Network {name:?} not found"))
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").finish_non_exhaustive()
    }
}
