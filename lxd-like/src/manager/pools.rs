//! Storage pools: their records, and the drivers that work in them.

mod opening;
mod recovery;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sc_api::{ConfigMap, POOL_KEYS, PoolName, nearest, quoted};
use sc_storage::{DriverKind, VolumeName};
use sc_store::{Draft, IntentId, Journal, Store, delete_doc};

use super::pool::{self, Pool};
use super::references::{Claim, Claims, References, no_device, users};
use super::roster::{Roster, begin_once};
use crate::blocking::{blocking, ended, look};
use crate::error::{Error, Result};
use crate::model::{Intent, PoolRecord};
use crate::paths::Paths;

/// The pool that a first start makes.
pub const DEFAULT_POOL: &str = "default";

/// How long is waited before each try to remove what is in nobody's way.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(100)];

/// The pools. Clones are handles to the same.
#[derive(Clone)]
pub struct Pools {
    store: Store,
    journal: Journal<Intent>,
    paths: Arc<Paths>,
    references: References,
    roster: Arc<Roster<Pool>>,
    /// Folders that are being made pools.
    folders: Claims,
    /// Names that instances are about to be given, and have a volume of.
    volumes: Claims,
}

impl Pools {
    /// The pools in `store`; none is open yet.
    pub fn new(
        store: Store,
        journal: Journal<Intent>,
        paths: Arc<Paths>,
        references: References,
    ) -> Self {
        let roster = Arc::new(Roster::new("Storage pool", "sc storage list"));
        Self {
            store,
            journal,
            paths,
            references,
            roster,
            folders: Claims::default(),
            volumes: Claims::default(),
        }
    }

    /// A pool in use.
    pub fn get(&self, name: &str) -> Result<Pool> {
        self.roster.get(name)
    }

    /// The pool that a device names.
    pub fn of_device(&self, device: &str, name: &str) -> Result<Pool> {
        self.get(name)
            .map_err(|error| no_device(device, error, &format!("sc storage create {name} DRIVER")))
    }

    /// All pools in use, by name.
    pub fn all(&self) -> Vec<(String, Pool)> {
        self.roster.all()
    }

    /// Lets one at a time decide what the volumes of that name are, until there is an instance or none.
    /// Names that differ in case only are one: in DNS they are.
    pub fn claim_volume(&self, name: &str) -> Result<Claim> {
        self.volumes.claim("instance", &name.to_ascii_lowercase())
    }

    /// Deletes a volume, unless it is gone already. A commit that comes after says so for good. Whoever
    /// waits no longer for a pool that does not answer has it look, when it does, and no more: by then the
    /// name may be another's.
    pub async fn remove_if_there(&self, pool: Pool, volume: VolumeName) -> Result<()> {
        let (paths, waiting) = (self.paths.clone(), Arc::new(()));
        let waits = Arc::downgrade(&waiting);
        let removed = blocking(move || {
            if pool.has_volume(&volume)? && waits.strong_count() > 0 {
                pool.delete_volume(&volume)?;
            }
            Ok(pool.settle(&paths.store())?)
        })
        .await;
        drop(waiting);
        removed
    }

    /// Makes a pool. `source`, an empty folder, says where; else it lies under `SC_DIR`.
    pub async fn create(
        &self,
        name: PoolName,
        driver: &str,
        description: String,
        config: ConfigMap,
    ) -> Result<()> {
        let _ours = self.roster.claim(name.as_str())?;
        if self.record(name.as_str()).is_ok() {
            return Err(Error::conflict(format!("The storage pool \"{name}\" already exists")));
        }
        let kind: DriverKind = driver.parse()?;
        let (pools, pool) = (self.clone(), name.clone());
        let location = move || pools.location(&pool, &config).map(|at| (at, config));
        let ((path, options), mut config) = look_at(&name, location).await?;
        // Before the intent: what its undo removes must be ours alone.
        let _ours = self.folders.claim("the folder", &path.display().to_string())?;
        self.take_back_all(&path)
            .await
            .map_err(|error| error.within(format!("create storage pool {name}")))?;
        refuse_used_folder(&path)?;
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
        let intent = begin_once(&self.journal, &intent).await?;
        let folder = path.clone();
        let made = async {
            let driver = blocking(move || Ok(sc_storage::create(&path, kind, &options)?)).await?;
            let pool = Pool::new(record.name.clone(), driver);
            let mut draft = Draft::new();
            draft.create(record)?.change(self.journal.clear_change(intent));
            self.journal.apply(draft).await?;
            Ok::<_, Error>(pool)
        };
        match made.await {
            Ok(pool) => {
                self.roster.up(record.name.as_str(), pool);
                Ok(())
            }
            Err(error) => {
                if let Err(error) = self.take_back(intent, folder).await {
                    // The entry stays, for the next creation or the next start.
                    tracing::error!(pool = %record.name, error = %error.chain(), "take back a pool");
                }
                Err(error)
            }
        }
    }

    /// Takes away what a creation has made that failed.
    async fn take_back(&self, intent: IntentId, path: PathBuf) -> Result<()> {
        blocking(move || Ok(sc_storage::destroy(&path)?)).await?;
        Ok(self.journal.clear(intent).await?)
    }

    /// Takes away what creations have left in a folder that failed and could not be taken back.
    async fn take_back_all(&self, folder: &Path) -> Result<()> {
        for (id, intent) in self.journal.pending()? {
            match intent {
                Intent::CreatePool { path, .. } if path == folder => {
                    self.take_back(id, path).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes a pool that nothing uses, with the images' layers in it. One that is lost, as with a
    /// file system that is not mounted, is forgotten where `force` is set: what it holds stays with it.
    pub async fn delete(&self, name: &str, force: bool) -> Result<()> {
        let ours = self.roster.claim(name)?;
        let PoolRecord { name: pool, path, .. } = self.record(name)?;
        let deletion = Intent::DeletePool { pool: pool.clone(), path: path.clone() };
        // Before anybody has to wait for this request.
        let lost = self.is_lost(&pool, &path, &deletion).await?;
        if !lost && self.is_opening(name) {
            return Err(pool::silent(&pool));
        }
        if !lost && let Ok(open) = self.get(name) {
            open.check_answers().await?;
        }
        let settled = self.references.settle().await;
        Error::refuse_if_used("storage pool", name, &self.used_by(name)?)?;
        if lost {
            return self.forget_lost(&pool, force).await;
        }
        let intent = begin_once(&self.journal, &deletion).await?;
        let before = self.roster.going(name);
        drop(settled);
        // It goes to its end also where its client does not wait for that.
        ended(tokio::spawn(self.clone().take_away(ours, before, intent, pool, path))).await
    }

    async fn take_away(
        self,
        _ours: Claim,
        before: Option<Pool>,
        intent: IntentId,
        name: PoolName,
        path: PathBuf,
    ) -> Result<()> {
        if let Some(pool) = before {
            pool.close().await;
        }
        self.finish_deletion(intent, &name, path).await
    }

    /// Whether a pool is not where it should be. One whose deletion has begun is not looked for.
    async fn is_lost(&self, name: &PoolName, path: &Path, deletion: &Intent) -> Result<bool> {
        let path = path.to_owned();
        let there = look_at(name, move || Ok(sc_storage::is_pool(&path))).await?;
        let going = self.journal.pending()?.iter().any(|(_, intent)| intent == deletion);
        Ok(!going && !there.unwrap_or(false))
    }

    async fn forget_lost(&self, name: &PoolName, force: bool) -> Result<()> {
        if !force {
            return Err(Error::conflict(format!(
                "storage pool {name} is not where it should be, and what it holds would stay there: \
                 mount it and restart the daemon, or forget it with --force"
            )));
        }
        self.forget(name, None).await
    }

    /// Deletes the record of a pool, with what the journal has of it: `deletion`, and volumes that were
    /// to go when it could be used.
    async fn forget(&self, name: &PoolName, deletion: Option<IntentId>) -> Result<()> {
        let mut draft = Draft::new();
        draft.change(delete_doc::<PoolRecord>(&[name.as_str()])?);
        let dropped = self.dropped_volumes(name)?.into_iter().map(|(id, _)| id);
        for id in dropped.chain(deletion) {
            draft.change(self.journal.clear_change(id));
        }
        self.journal.apply(draft).await?;
        self.roster.gone(name.as_str());
        Ok(())
    }

    /// The record of a pool.
    pub fn record(&self, name: &str) -> Result<PoolRecord> {
        let found = self.store.get_doc::<PoolRecord>(&[name])?;
        Ok(found.ok_or_else(|| self.roster.not_found(name))?.value)
    }

    /// Paths of the instances and profiles that use a pool.
    pub fn used_by(&self, name: &str) -> Result<Vec<String>> {
        users(
            &self.store,
            |instance| instance.pool.as_str() == name,
            |device| device.get("pool").is_some_and(|pool| pool == name),
        )
    }

    /// Empties a pool's trash in the background. Where that fails for long, the next deletion or daemon
    /// does it.
    pub fn empty_trash_behind(&self, name: &str) {
        let (pools, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            for pause in PAUSES {
                tokio::time::sleep(pause).await;
                let Ok(pool) = pools.get(&name) else { return };
                match blocking(move || Ok(pool.empty_trash()?)).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(pool = name, error = %error.chain(), "empty a pool's trash");
                    }
                }
            }
        });
    }

    async fn finish_deletion(&self, id: IntentId, name: &PoolName, path: PathBuf) -> Result<()> {
        blocking(move || Ok(sc_storage::destroy(&path)?)).await?;
        self.forget(name, Some(id)).await
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
            Some(other) if *other == path => Err(Error::conflict(format!(
                "source {} is in use already: choose another folder",
                path.display()
            ))),
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
        refuse_slips(&options)?;
        let path = match options.remove("source").filter(|source| !source.is_empty()) {
            None => self.paths.pool(name.as_str()),
            Some(source) if source.starts_with('/') => {
                let path = PathBuf::from(&source);
                if !path.is_dir() {
                    let remedy = match path.exists() {
                        true => "name an empty folder",
                        false => "make it first (mkdir -p)",
                    };
                    let text = format!("source {source:?} is no folder: {remedy}");
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

/// Refuses a key that is no driver's either and that is a slip away from one that every pool has.
fn refuse_slips(config: &ConfigMap) -> Result<()> {
    let known = |key: &String| POOL_KEYS.iter().any(|(known, _)| known == key);
    let meant = config.keys().filter(|key| !known(key)).find_map(|key| {
        let names = POOL_KEYS.iter().map(|(known, _)| (*known).to_owned());
        Some((key, nearest(key, names)?))
    });
    match meant {
        None => Ok(()),
        Some((key, meant)) => Err(Error::invalid(format!(
            "unknown storage pool key {} (did you mean {meant:?}?)",
            quoted(key)
        ))),
    }
}

/// Looks at where a pool is or shall be.
async fn look_at<T, F>(name: &PoolName, what: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    look(pool::PATIENCE, what).await.unwrap_or_else(|| Err(pool::silent(name)))
}

fn refuse_used_folder(path: &Path) -> Result<()> {
    let used = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if !used {
        return Ok(());
    }
    Err(Error::conflict(format!("{} is not empty: choose an empty folder", path.display())))
}
