//! Storage pools: their records, and the drivers that work in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sc_api::{ConfigMap, ErrorKind, PoolName};
use sc_storage::{Driver, DriverKind};
use sc_store::{Draft, IntentId, Journal, Store, delete_doc};

use super::references::{Claims, References};
use crate::blocking::blocking;
use crate::error::{Error, Result};
use crate::model::{InstanceRecord, Intent, PROJECT, PoolRecord, ProfileRecord};
use crate::paths::Paths;

/// The pool that a first start makes.
pub const DEFAULT_POOL: &str = "default";

/// The pools. Clones are handles to the same.
#[derive(Clone)]
pub struct Pools {
    store: Store,
    journal: Journal<Intent>,
    paths: Arc<Paths>,
    references: References,
    changing: Claims,
    open: Arc<RwLock<BTreeMap<String, Opened>>>,
}

/// A pool of the store.
enum Opened {
    Driver(Arc<dyn Driver>),
    /// It is not open; why not.
    Failed(String),
}

impl Pools {
    /// The pools in `store`; none is open yet.
    pub fn new(
        store: Store,
        journal: Journal<Intent>,
        paths: Arc<Paths>,
        references: References,
    ) -> Self {
        let (changing, open) = (Claims::default(), Arc::default());
        Self { store, journal, paths, references, changing, open }
    }

    /// The driver of a pool.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Driver>> {
        match self.open.read().expect("no panic while pools are locked").get(name) {
            Some(Opened::Driver(driver)) => Ok(driver.clone()),
            Some(Opened::Failed(why)) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("storage pool {name} cannot be used: {why}"),
            )),
            None => Err(not_found(name)),
        }
    }

    /// All pools that are open, by name.
    pub fn all(&self) -> Vec<(String, Arc<dyn Driver>)> {
        let open = self.open.read().expect("no panic while pools are locked");
        let driver = |(name, opened): (&String, &Opened)| match opened {
            Opened::Driver(driver) => Some((name.clone(), driver.clone())),
            Opened::Failed(_) => None,
        };
        open.iter().filter_map(driver).collect()
    }

    /// Opens all pools of the store and clears up what was under way in them. One that fails is
    /// logged; its instances cannot start until it is mended.
    pub async fn open_all(&self) -> Result<()> {
        self.recover().await?;
        for record in self.store.list_docs::<PoolRecord>(&[])? {
            let PoolRecord { name, path, .. } = record.value;
            let opened = blocking(move || {
                let driver = sc_storage::open(&path)?;
                driver.sweep()?;
                Ok(driver)
            });
            match opened.await {
                Ok(driver) => {
                    self.set(name.as_str(), Opened::Driver(driver));
                    self.empty_trash_behind(name.as_str());
                }
                Err(error) => {
                    tracing::error!(pool = %name, error = %error.chain(), "open a storage pool");
                    let why = format!("{}; mend that and restart the daemon", error.chain());
                    self.set(name.as_str(), Opened::Failed(why));
                }
            }
        }
        Ok(())
    }

    /// Makes a pool. `source`, an empty folder, says where; else it lies under `SC_DIR`.
    pub async fn create(
        &self,
        name: PoolName,
        driver: &str,
        description: String,
        config: ConfigMap,
    ) -> Result<()> {
        let _ours = self.changing.claim("storage pool", name.as_str())?;
        if self.record(name.as_str()).is_ok() {
            return Err(Error::conflict(format!("The storage pool \"{name}\" already exists")));
        }
        let kind: DriverKind = driver.parse()?;
        let (path, options) = self.location(&name, &config)?;
        // Before the intent: what its undo removes must be ours alone.
        let _ours = self.changing.claim("the folder", &path.display().to_string())?;
        refuse_used_folder(&path)?;
        let mut config = config;
        config.insert("source".into(), path.display().to_string());
        let record = PoolRecord { name, description, driver: driver.into(), config, path };
        let made = self.make(&record, kind, options).await;
        made.map_err(|error| error.within(format!("create storage pool {}", record.name)))
    }

    async fn make(
        &self,
        record: &PoolRecord,
        kind: DriverKind,
        options: BTreeMap<String, String>,
    ) -> Result<()> {
        let path = record.path.clone();
        let intent = Intent::CreatePool { pool: record.name.clone(), path: path.clone() };
        let intent = self.journal.begin(&intent).await?;
        let made = async {
            let driver = blocking(move || Ok(sc_storage::create(&path, kind, &options)?)).await?;
            let mut draft = Draft::new();
            draft.create(record)?.change(self.journal.clear_change(intent));
            self.store.apply(draft).await?;
            Ok::<_, Error>(driver)
        };
        match made.await {
            Ok(driver) => {
                self.set(record.name.as_str(), Opened::Driver(driver));
                Ok(())
            }
            Err(error) => {
                self.journal.clear(intent).await?;
                Err(error)
            }
        }
    }

    /// Deletes a pool that nothing uses, with the images' layers in it.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let _ours = self.changing.claim("storage pool", name)?;
        let PoolRecord { name: pool, path, .. } = self.record(name)?;
        let settled = self.references.settle().await;
        Error::refuse_if_used("storage pool", name, &self.used_by(name)?)?;
        let intent = match self.begun(&pool)? {
            Some(intent) => intent,
            None => {
                let intent = Intent::DeletePool { pool: pool.clone(), path: path.clone() };
                self.journal.begin(&intent).await?
            }
        };
        let going = "it is being deleted; where that has failed, delete it again".to_owned();
        let before = self.set(name, Opened::Failed(going));
        drop(settled);
        if let Some(Opened::Driver(driver)) = before {
            last_user(driver).await;
        }
        self.finish_deletion(intent, &pool, path).await
    }

    /// The entry of a deletion that has failed.
    fn begun(&self, name: &PoolName) -> Result<Option<IntentId>> {
        let begun =
            |intent: &Intent| matches!(intent, Intent::DeletePool { pool, .. } if pool == name);
        let pending = self.journal.pending()?;
        Ok(pending.into_iter().find(|(_, intent)| begun(intent)).map(|(id, _)| id))
    }

    /// The record of a pool.
    pub fn record(&self, name: &str) -> Result<PoolRecord> {
        let found = self.store.get_doc::<PoolRecord>(&[name])?;
        Ok(found.ok_or_else(|| not_found(name))?.value)
    }

    /// Paths of the instances and profiles that use a pool.
    pub fn used_by(&self, name: &str) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for instance in self.store.list_docs::<InstanceRecord>(&[PROJECT])? {
            if instance.value.pool.as_str() == name {
                paths.push(format!("/1.0/instances/{}", instance.value.name));
            }
        }
        for profile in self.store.list_docs::<ProfileRecord>(&[PROJECT])? {
            let mut devices = profile.value.devices.values();
            if devices.any(|device| device.get("pool").is_some_and(|pool| pool == name)) {
                paths.push(format!("/1.0/profiles/{}", profile.value.name));
            }
        }
        Ok(paths)
    }

    /// Empties a pool's trash in the background.
    pub fn empty_trash_behind(&self, name: &str) {
        let Ok(driver) = self.get(name) else { return };
        let name = name.to_owned();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = driver.empty_trash() {
                tracing::warn!(pool = name, %error, "empty a pool's trash");
            }
        });
    }

    /// Notes how a pool of the store is; returns how it was.
    fn set(&self, name: &str, opened: Opened) -> Option<Opened> {
        self.open.write().expect("no panic while pools are locked").insert(name.into(), opened)
    }

    /// Takes back creations that were not finished and finishes deletions.
    async fn recover(&self) -> Result<()> {
        for (id, intent) in self.journal.pending()? {
            match intent {
                Intent::CreatePool { pool, path } | Intent::DeletePool { pool, path } => {
                    let known = self.record(pool.as_str()).is_ok();
                    if known && !self.used_by(pool.as_str())?.is_empty() {
                        // Whatever became of its deletion: instances are in it.
                        tracing::error!(%pool, "a pool that is to be taken away is in use: it stays");
                        self.journal.clear(id).await?;
                        continue;
                    }
                    tracing::info!(%pool, "taking a pool away that was half made or half deleted");
                    if let Err(error) = self.finish_deletion(id, &pool, path).await {
                        // The entry stays, for the next start.
                        tracing::error!(%pool, error = %error.chain(), "take a pool away");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn finish_deletion(&self, id: IntentId, name: &PoolName, path: PathBuf) -> Result<()> {
        blocking(move || Ok(sc_storage::destroy(&path)?)).await?;
        let mut draft = Draft::new();
        draft.change(delete_doc::<PoolRecord>(&[name.as_str()])?);
        draft.change(self.journal.clear_change(id));
        self.store.apply(draft).await?;
        self.open.write().expect("no panic while pools are locked").remove(name.as_str());
        Ok(())
    }

    /// The folder by its true name; refused where it is a part of what the daemon or another pool
    /// keeps, or they of it: what one of them removes must be its own.
    fn refuse_taken(&self, path: &Path) -> Result<PathBuf> {
        let true_name = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let path = true_name(path);
        let mut taken = vec![true_name(self.paths.root())];
        for pool in self.store.list_docs::<PoolRecord>(&[])? {
            taken.push(true_name(&pool.value.path));
        }
        match taken.iter().find(|other| path.starts_with(other) || other.starts_with(&path)) {
            None => Ok(path),
            Some(other) => Err(Error::conflict(format!(
                "source {} and {}, which is in use, lie in each other: choose another folder",
                path.display(),
                other.display()
            ))),
        }
    }

    /// Where a pool lies, and its other options.
    fn location(&self, name: &PoolName, config: &ConfigMap) -> Result<(PathBuf, ConfigMap)> {
        let mut options = config.clone();
        let path = match options.remove("source").filter(|source| !source.is_empty()) {
            None => self.paths.pool(name.as_str()),
            Some(source) if source.starts_with('/') => {
                let path = PathBuf::from(&source);
                if !path.is_dir() {
                    let text = format!("source {source:?} is no folder: make it first (mkdir -p)");
                    return Err(Error::invalid(text));
                }
                self.refuse_taken(&path)?
            }
            Some(source) => {
                return Err(Error::invalid(format!("source {source:?} must be an absolute path")));
            }
        };
        Ok((path, options))
    }
}

fn not_found(name: &str) -> Error {
    Error::not_found(format!("Storage pool {name:?} not found"))
}

/// Waits until nobody else works in a pool, such as who empties its trash.
async fn last_user(driver: Arc<dyn Driver>) {
    while Arc::strong_count(&driver) > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn refuse_used_folder(path: &Path) -> Result<()> {
    let used = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if !used {
        return Ok(());
    }
    Err(Error::conflict(format!("{} is not empty: choose an empty folder", path.display())))
}
