//! Images: files in the image store, records and aliases, and where a new instance's root comes
//! from.

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sc_api::{ConfigMap, Image, InstanceSource, Timestamp};
use sc_images::packages::{Recipe, Remote};
use sc_images::{Fingerprint, ImageFiles, Inspected, Metadata, Progress};
use sc_store::{CommitError, Draft, IntentId, Journal, Store};

use super::Pools;
use super::layers::Layers;
use super::references::Claims;
use super::root::{Root, RootSource};
use super::roster::begin_once;
use crate::blocking::blocking;
use crate::error::{Context as _, Error, Result};
use crate::event::Events;
use crate::host::Host;
use crate::model::{ImageRecord, ImageUse, Intent};
use crate::operation::ProgressReporter;
use crate::paths::Paths;

/// The images.
pub struct Images {
    pub(super) store: Store,
    pub(super) journal: Journal<Intent>,
    events: Events,
    pub(super) pools: Pools,
    pub(super) files: sc_images::Store,
    pub(super) layers: Layers,
    /// Where images are built; cleared at every start.
    builds: PathBuf,
    /// Those that are being taken in, until they have a record.
    importing: Claims,
    /// Held by who names an image, or takes its names away with it: no name outlives its image.
    pub(super) naming: tokio::sync::Mutex<()>,
    /// Those that are being deleted: nobody makes a layer of one.
    pub(super) deleting: Claims,
    /// One fetch of each image of a remote at a time: the second finds what the first has made.
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Image files on their way in.
#[derive(Debug)]
pub struct Incoming {
    pub files: ImageFiles,
    pub filename: String,
    pub properties: ConfigMap,
    pub public: bool,
    pub cached: bool,
    /// Whether every byte comes from a source whose signature was checked.
    pub verified: bool,
    pub source: Option<sc_api::ImageSource>,
}

impl Images {
    /// The images under `paths`.
    pub fn open(
        store: Store,
        journal: Journal<Intent>,
        events: Events,
        paths: &Paths,
        host: Arc<Host>,
        pools: Pools,
    ) -> Result<Self> {
        let builds = paths.root().join("builds");
        match std::fs::remove_dir_all(&builds) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(format!("clear {}", builds.display()));
            }
            _ => {}
        }
        Ok(Self {
            store,
            journal,
            events,
            pools,
            files: sc_images::Store::open(&paths.images())?,
            layers: Layers::new(host)?,
            builds,
            importing: Claims::default(),
            naming: tokio::sync::Mutex::default(),
            deleting: Claims::default(),
            fetching: Mutex::default(),
        })
    }

    /// Finishes deletions, and removes files that no record knows.
    pub async fn recover(&self) -> Result<()> {
        for (id, intent) in self.journal.pending()? {
            match intent {
                Intent::DeleteImage { fingerprint, uploaded_at } => {
                    if let Err(error) = self.finish_deletion(&fingerprint, uploaded_at, id).await {
                        // The entry stays, for the next start.
                        tracing::error!(fingerprint, error = %error.chain(), "delete an image");
                    }
                }
                Intent::UnpackImage { .. } => self.journal.clear(id).await?,
                _ => {}
            }
        }
        let records = self.store.list_docs::<ImageRecord>(&[])?;
        let known = records.iter().map(|doc| doc.value.fingerprint.parse());
        let swept = self.files.sweep(&known.collect::<Result<_, _>>()?)?;
        if !swept.is_empty() {
            tracing::info!(files = ?swept, "removed image files that belong to no image");
        }
        Ok(())
    }

    /// Finishes a deletion that has begun. One of an image that was imported again since has been done
    /// with, whatever became of its entry.
    async fn finish_deletion(
        &self,
        fingerprint: &str,
        uploaded_at: Option<Timestamp>,
        id: IntentId,
    ) -> Result<()> {
        let found = self.store.get_doc::<ImageRecord>(&[fingerprint])?;
        if found.is_some_and(|image| Some(image.value.uploaded_at) != uploaded_at) {
            tracing::info!(
                fingerprint,
                "an image stays that was imported again after its deletion"
            );
            return Ok(self.journal.clear(id).await?);
        }
        self.remove(&fingerprint.parse()?, id).await
    }

    /// A place for an incoming file.
    pub fn incoming(&self) -> Result<tempfile::NamedTempFile> {
        Ok(self.files.incoming()?)
    }

    /// What a new instance's root is made of; fetches the image where it is a remote's.
    pub async fn root(&self, source: &InstanceSource, progress: &ProgressReporter) -> Result<Root> {
        match RootSource::of(source)? {
            RootSource::Nothing => Ok(Root::Empty(Metadata {
                architecture: sc_images::metadata::host_architecture(),
                ..Metadata::default()
            })),
            RootSource::Packages(alias) => self.fetch(alias, progress).await.map(Root::Image),
            RootSource::Local(reference) => Ok(Root::Image(Arc::new(self.resolve(reference)?))),
        }
    }

    /// The image of this alias, fingerprint, or unique beginning of a fingerprint.
    pub fn resolve(&self, reference: &str) -> Result<ImageRecord> {
        if let Ok(alias) = self.alias(reference) {
            return self.get(&alias.target);
        }
        let all = self.store.list_docs::<ImageRecord>(&[])?;
        let mut matching = all
            .into_iter()
            .filter(|doc| reference.len() >= 4 && doc.value.fingerprint.starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some(found), None) => Ok(found.value),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("More than one image matches {reference:?}")))
            }
            (None, _) => Err(not_found(reference)),
        }
    }

    /// The image of this fingerprint.
    pub fn get(&self, fingerprint: &str) -> Result<ImageRecord> {
        let found = self.store.get_doc::<ImageRecord>(&[fingerprint])?;
        Ok(found.ok_or_else(|| not_found(fingerprint))?.value)
    }

    /// An image as the API shows it.
    pub fn view(&self, record: &ImageRecord) -> Result<Image> {
        let last_use = self.store.get_doc::<ImageUse>(&[&record.fingerprint])?;
        Ok(record.view(self.aliases_of(&record.fingerprint)?, last_use.map(|doc| doc.value)))
    }

    /// Changes an image's record; `change` may be asked again when another change came between.
    pub async fn change(
        &self,
        fingerprint: &str,
        change: impl Fn(ImageRecord) -> Result<ImageRecord>,
    ) -> Result<ImageRecord> {
        loop {
            let found = self.store.get_doc::<ImageRecord>(&[fingerprint])?;
            let found = found.ok_or_else(|| not_found(fingerprint))?;
            let changed = change(found.value.clone())?;
            let mut draft = Draft::new();
            draft.replace(&found, &changed)?;
            match self.journal.apply(draft).await {
                Err(CommitError::Conflict { .. }) => {}
                other => return Ok(other.map(|_| changed)?),
            }
        }
    }

    /// Takes image files in. Their metadata is read where it can do no harm.
    pub async fn import(
        &self,
        incoming: Incoming,
        progress: &ProgressReporter,
    ) -> Result<ImageRecord> {
        let inspected = self.layers.inspect(&incoming.files, progress).await?;
        inspected.metadata.check_architecture(&sc_images::metadata::host_architecture())?;
        let (files, reporter) = (incoming.files.clone(), progress.clone());
        let fingerprint =
            blocking(move || Ok(Fingerprint::of_files(&files.paths(), &reporter)?)).await?;
        // Until the record is there. It cannot be deleted before that, and one that is being deleted already
        // is waited for by the client.
        let _ours = self.importing.claim("image", fingerprint.as_str())?;
        if self.deleting.has(fingerprint.as_str()) {
            let text = format!("image {fingerprint} is just being deleted: try again");
            return Err(Error::conflict(text));
        }
        if self.get(fingerprint.as_str()).is_ok() {
            return Err(Error::conflict(format!(
                "Image with same fingerprint already exists: {fingerprint}; `sc image alias create` gives it \
                 another name"
            )));
        }
        let taken = self.take_in(incoming, inspected, &fingerprint, progress).await;
        if taken.is_err() {
            let (store, id) = (self.files.clone(), fingerprint.clone());
            if let Err(error) = blocking(move || Ok(store.delete(&id)?)).await {
                // The next start finds them.
                tracing::warn!(error = %error.chain(), "files of no image are left behind");
            }
        }
        let record = taken?;
        self.events.lifecycle("image-created", format!("/1.0/images/{fingerprint}"));
        Ok(record)
    }

    /// Stores an image's files, then its record.
    async fn take_in(
        &self,
        incoming: Incoming,
        inspected: Inspected,
        fingerprint: &Fingerprint,
        progress: &ProgressReporter,
    ) -> Result<ImageRecord> {
        let (store, files, id) = (self.files.clone(), incoming.files, fingerprint.clone());
        let reporter = progress.clone();
        blocking(move || Ok(store.import(&files, &id, &reporter)?)).await?;
        let squashfs = inspected.rootfs_format == Some(sc_images::format::Format::Squashfs);
        let mut properties = inspected.metadata.properties.clone();
        properties.extend(incoming.properties);
        let record = ImageRecord {
            fingerprint: fingerprint.to_string(),
            metadata: inspected.metadata,
            templates: inspected.templates,
            properties,
            filename: incoming.filename,
            size: self.files.size(fingerprint)?,
            public: incoming.public,
            cached: incoming.cached,
            verified: incoming.verified,
            squashfs,
            uploaded_at: Timestamp::now(),
            source: incoming.source,
        };
        let mut draft = Draft::new();
        draft.create(&record)?;
        self.journal.apply(draft).await?;
        Ok(record)
    }

    /// Deletes an image, its aliases, and its layers in all pools. Instances made from it stay.
    pub async fn delete(&self, fingerprint: &str) -> Result<()> {
        let _ours = self.deleting.claim("image", fingerprint)?;
        let record = self.get(fingerprint)?;
        let deletion = Intent::DeleteImage {
            fingerprint: record.fingerprint.clone(),
            uploaded_at: Some(record.uploaded_at),
        };
        let intent = begin_once(&self.journal, &deletion).await?;
        self.remove(&record.fingerprint.parse()?, intent).await?;
        self.events.lifecycle("image-deleted", format!("/1.0/images/{fingerprint}"));
        Ok(())
    }

    async fn remove(&self, fingerprint: &Fingerprint, intent: IntentId) -> Result<()> {
        self.layers.remove(&self.pools, fingerprint.as_str()).await?;
        let (files, id) = (self.files.clone(), fingerprint.clone());
        blocking(move || Ok(files.delete(&id)?)).await?;
        let _names = self.naming.lock().await;
        let mut draft = Draft::new();
        self.remove_aliases(fingerprint.as_str(), &mut draft).await?;
        draft.change(sc_store::delete_doc::<ImageRecord>(&[fingerprint.as_str()])?);
        draft.change(sc_store::delete_doc::<ImageUse>(&[fingerprint.as_str()])?);
        draft.change(self.journal.clear_change(intent));
        self.journal.apply(draft).await?;
        Ok(())
    }

    /// An image of the packages remote: the one that was built before, or built now.
    pub async fn fetch(
        &self,
        alias: &str,
        progress: &ProgressReporter,
    ) -> Result<Arc<ImageRecord>> {
        let recipe = Remote::debian().find(alias)?;
        let source = sc_api::ImageSource {
            source_type: "image".into(),
            protocol: "packages".into(),
            server: String::new(),
            alias: format!("{}/{}", recipe.version, recipe.variant),
            ..sc_api::ImageSource::default()
        };
        if let Some(found) = self.fetched(&source)? {
            return Ok(found);
        }
        let fetching = {
            let mut fetching = self.fetching.lock().expect("no panic while the list is locked");
            fetching.entry(source.alias.clone()).or_default().clone()
        };
        let _one = progress.unless_cancelled(fetching.lock()).await?;
        match self.fetched(&source)? {
            Some(found) => Ok(found),
            None => Ok(Arc::new(self.build(recipe, source, progress).await?)),
        }
    }

    /// The image that was made of a source before.
    fn fetched(&self, source: &sc_api::ImageSource) -> Result<Option<Arc<ImageRecord>>> {
        let mut all = self.store.list_docs::<ImageRecord>(&[])?.into_iter();
        let found = all.find(|doc| doc.value.source.as_ref() == Some(source));
        Ok(found.map(|doc| Arc::new(doc.value)))
    }

    async fn build(
        &self,
        recipe: Recipe,
        source: sc_api::ImageSource,
        progress: &ProgressReporter,
    ) -> Result<ImageRecord> {
        let workdir = self.build_dir()?;
        let reporter = progress.clone();
        let building = blocking(move || {
            let built = Remote::debian().build(&recipe, workdir.path(), &reporter)?;
            Ok((built, workdir))
        });
        // One that is cancelled ends by itself: on a busy disk it takes seconds until the last of its
        // processes has gone and its tree is removed.
        let (built, workdir) = progress.unless_cancelled(building).await??;
        let incoming = Incoming {
            files: built.files,
            filename: source.alias.replace('/', "-"),
            properties: built.properties,
            public: false,
            cached: true,
            verified: built.verified,
            source: Some(source),
        };
        let record = self.import(incoming, progress).await;
        // Removing a tree of files takes a while; the launch need not wait for it.
        tokio::task::spawn_blocking(move || drop(workdir));
        record
    }

    pub(super) fn build_dir(&self) -> Result<tempfile::TempDir> {
        // Root's alone: a tree that is being built has setuid files, and folders anyone may write.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.builds);
        made.context(format!("make the folder {}", self.builds.display()))?;
        tempfile::tempdir_in(&self.builds).context("make a folder to build in")
    }
}

fn not_found(reference: &str) -> Error {
    Error::no_such("Image", reference, "sc image list")
}

impl Progress for ProgressReporter {
    fn step(&self, name: &str) {
        self.stage(name);
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        Self::bytes(self, done, total);
    }

    fn items(&self, done: u64, total: Option<u64>) {
        Self::items(self, done, total);
    }

    fn cancelled(&self) -> bool {
        self.is_cancelled()
    }
}
