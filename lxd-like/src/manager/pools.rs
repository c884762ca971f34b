//! Storage pools: their records, and the drivers that work in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sc_api::{ConfigMap, PoolName};
use sc_storage::{Driver, DriverKind};
use sc_store::{Draft, delete_doc};

use crate::context::{Context, Ctx, blocking};
use crate::error::{Error, Result};
use crate::model::{Intent, PoolRecord};

/// The pool that a first start makes.
pub const DEFAULT_POOL: &str = "default";

/// The pools that are open.
#[derive(Debug, Default)]
pub struct Pools {
    open: RwLock<BTreeMap<String, Arc<dyn Driver>>>,
}

impl Pools {
    /// The driver of a pool.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let found = self.open.read().expect("no panic while pools are locked").get(name).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!(
                "Failed loading storage pool \"{name}\": Storage pool not found"
            ))
        })
    }

    /// All pools that are open.
    pub fn all(&self) -> Vec<Arc<dyn Driver>> {
        self.open.read().expect("no panic while pools are locked").values().cloned().collect()
    }

    /// Opens all pools of the store and clears up what was under way in them. One that fails is
    /// logged; its instances cannot start until it is mended.
    pub async fn open_all(&self, ctx: &Context) -> Result<()> {
        self.recover(ctx).await?;
        for record in ctx.store.list_docs::<PoolRecord>(&[])? {
            let PoolRecord { name, path, .. } = record.value;
            let opened = blocking(move || {
                let driver = sc_storage::open(&path)?;
                driver.sweep()?;
                Ok(driver)
            });
            match opened.await {
                Ok(driver) => {
                    self.insert(&name, driver);
                    self.empty_trash_behind(name.as_str());
                }
                Err(error) => {
                    tracing::error!(pool = %name, error = %error.chain(), "open a storage pool");
                }
            }
        }
        Ok(())
    }

    /// Makes a pool. `source`, an empty or missing folder, says where; else it lies under `SC_DIR`.
    pub async fn create(
        &self,
        ctx: &Context,
        name: PoolName,
        driver: &str,
        description: String,
        config: ConfigMap,
    ) -> Result<()> {
        if self.get(name.as_str()).is_ok() {
            return Err(Error::conflict(
                "The storage pool already exists: The record already exists",
            ));
        }
        let kind: DriverKind = driver.parse()?;
        let (path, options) = location(ctx, &name, &config)?;
        // Before the intent: what its undo removes must be ours alone.
        refuse_used_folder(&path)?;
        let mut config = config;
        config.insert("source".into(), path.display().to_string());
        let record =
            PoolRecord { name: name.clone(), description, driver: driver.into(), config, path };
        let intent = Intent::CreatePool { pool: name.clone(), path: record.path.clone() };
        let intent = ctx.journal.begin(&intent).await?;
        let made = async {
            let path = record.path.clone();
            let driver = blocking(move || Ok(sc_storage::create(&path, kind, &options)?)).await?;
            let mut draft = Draft::new();
            draft.create(&record)?.change(ctx.journal.clear_change(intent));
            ctx.store.apply(draft).await?;
            Ok::<_, Error>(driver)
        };
        match made.await {
            Ok(driver) => {
                self.insert(&name, driver);
                Ok(())
            }
            Err(error) => {
                ctx.journal.clear(intent).await?;
                Err(error.within(format!("create storage pool {name}")))
            }
        }
    }

    /// Deletes a pool that nothing uses, with the images' layers in it.
    pub async fn delete(&self, ctx: &Ctx, name: &str) -> Result<()> {
        let record = self.record(ctx, name)?;
        let driver = self.get(name)?;
        if !self.used_by(ctx, name)?.is_empty() {
            return Err(Error::invalid("The storage pool is currently in use"));
        }
        let intent = Intent::DeletePool { pool: record.name.clone(), path: record.path.clone() };
        let intent = ctx.journal.begin(&intent).await?;
        self.open.write().expect("no panic while pools are locked").remove(name);
        last_user(driver).await;
        finish_deletion(ctx, intent, &record.name, record.path).await
    }

    /// The record of a pool.
    pub fn record(&self, ctx: &Context, name: &str) -> Result<PoolRecord> {
        let found = ctx.store.get_doc::<PoolRecord>(&[name])?;
        Ok(found.ok_or_else(|| Error::not_found("Storage pool not found"))?.value)
    }

    /// Paths of the instances and profiles that use a pool.
    pub fn used_by(&self, ctx: &Context, name: &str) -> Result<Vec<String>> {
        let instances = ctx.instances.list();
        let mut paths: Vec<String> = instances
            .iter()
            .filter(|instance| instance.view().record.pool.as_str() == name)
            .map(|instance| format!("/1.0/instances/{}", instance.name()))
            .collect();
        for profile in ctx.profiles.list()? {
            if profile.devices.values().any(|d| d.get("pool").is_some_and(|pool| pool == name)) {
                paths.push(format!("/1.0/profiles/{}", profile.name));
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

    fn insert(&self, name: &PoolName, driver: Arc<dyn Driver>) {
        let mut open = self.open.write().expect("no panic while pools are locked");
        open.insert(name.to_string(), driver);
    }

    /// Takes back creations that were not finished and finishes deletions.
    async fn recover(&self, ctx: &Context) -> Result<()> {
        for (id, intent) in ctx.journal.pending()? {
            match intent {
                Intent::CreatePool { pool, path } | Intent::DeletePool { pool, path } => {
                    tracing::info!(%pool, "taking a pool away that was half made or half deleted");
                    finish_deletion(ctx, id, &pool, path).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Waits until nobody else works in a pool, such as who empties its trash.
async fn last_user(driver: Arc<dyn Driver>) {
    while Arc::strong_count(&driver) > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn finish_deletion(
    ctx: &Context,
    intent: sc_store::IntentId,
    name: &PoolName,
    path: PathBuf,
) -> Result<()> {
    blocking(move || Ok(sc_storage::destroy(&path)?)).await?;
    let mut draft = Draft::new();
    draft.change(delete_doc::<PoolRecord>(&[name.as_str()])?);
    draft.change(ctx.journal.clear_change(intent));
    ctx.store.apply(draft).await?;
    Ok(())
}

fn refuse_used_folder(path: &std::path::Path) -> Result<()> {
    let used = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if !used {
        return Ok(());
    }
    Err(Error::conflict(format!("{} is not empty: choose an empty folder", path.display())))
}

/// Where a pool lies, and its other options.
fn location(
    ctx: &Context,
    name: &PoolName,
    config: &ConfigMap,
) -> Result<(PathBuf, BTreeMap<String, String>)> {
    let mut options = config.clone();
    let path = match options.remove("source").filter(|source| !source.is_empty()) {
        None => ctx.paths.pool(name.as_str()),
        Some(source) if source.starts_with('/') => PathBuf::from(source),
        Some(source) => {
            return Err(Error::invalid(format!("source {source:?} must be an absolute path")));
        }
    };
    Ok((path, options))
}
