//! From image files to layers in pools: unpacked where foreign bytes can do no harm, or mounted
//! as they are where every byte was verified.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sc_api::{ErrorKind, PoolName};
use sc_images::{ImageFiles, Inspected, Limits, Sandboxing, Silent};
use sc_storage::{Attached, Fingerprint, ImageForm};
use sc_sys::idmap::Owner;

use super::root::Root;
use super::{Pool, Pools};
use crate::blocking::{blocking, ended};
use crate::error::{Context as _, Error, Result, chain};
use crate::host::Host;
use crate::model::{ImageRecord, Intent};
use crate::operation::ProgressReporter;

/// Makes layers, each once.
pub struct Layers {
    host: Arc<Host>,
    /// This very program, executed anew as the unpacker.
    exe: PathBuf,
    next: AtomicU64,
    /// One at a time for each image in each pool; the second finds the layer made.
    making: Mutex<HashMap<Place, Turn>>,
}

/// A pool and an image.
type Place = (String, String);

/// Whoever holds it makes the layer.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// How a layer was made.
enum Filled {
    /// The image's file is mounted as it is.
    Mounted,
    Unpacked,
}

/// A throw-away id range, for as long as an unpacker runs.
struct ThrowAway {
    host: Arc<Host>,
    owner: Owner,
    sandboxing: Sandboxing,
}

impl Layers {
    /// A maker of layers.
    pub fn new(host: Arc<Host>) -> Result<Self> {
        // Not the path: the program may be replaced on disk while it runs.
        let exe = PathBuf::from("/proc/self/exe");
        let exe = std::fs::read_link(&exe).map(|_| exe).context("find this program")?;
        Ok(Self { host, exe, next: AtomicU64::new(0), making: Mutex::default() })
    }

    /// Reads an image's metadata and templates.
    pub async fn inspect(
        &self,
        files: &ImageFiles,
        progress: &ProgressReporter,
    ) -> Result<Inspected> {
        let throw_away = self.throw_away()?;
        let (files, reporter) = (files.clone(), progress.clone());
        blocking(move || {
            let sandboxing = &throw_away.sandboxing;
            Ok(sc_images::inspect(&files, &Limits::default(), sandboxing, &reporter)?)
        })
        .await
    }

    /// Removes an image's layers from all pools. From one that does not answer it goes when that does, or is
    /// opened the next time.
    pub async fn remove(&self, pools: &Pools, fingerprint: &str) -> Result<()> {
        let id = Fingerprint::new(fingerprint)?;
        for (name, pool) in pools.all() {
            // Nobody makes one until this has gone, however late.
            let making = self.making(&name, fingerprint);
            let removing = tokio::spawn(remove_from(pool.clone(), id.clone(), making));
            match pool.unless_silent(ended(removing)).await {
                Some(outcome) => outcome?,
                None => {
                    tracing::warn!(
                        pool = name,
                        fingerprint,
                        "a pool does not answer, and keeps a layer"
                    );
                }
            }
        }
        let mut making = self.making.lock().expect("no panic while the list is locked");
        making.retain(|(_, image), turn| image != fingerprint || Arc::strong_count(turn) > 1);
        Ok(())
    }

    fn throw_away(&self) -> Result<ThrowAway> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let owner = self.host.id_owner(&format!("unpacking {number}"));
        let range = self.host.ids.claim(&owner)?;
        let sandboxing = Sandboxing { exe: self.exe.clone(), base_id: range.start() };
        Ok(ThrowAway { host: self.host.clone(), owner, sandboxing })
    }

    fn making(&self, pool: &str, fingerprint: &str) -> Turn {
        let mut making = self.making.lock().expect("no panic while the list is locked");
        making.entry((pool.to_owned(), fingerprint.to_owned())).or_default().clone()
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        if let Err(error) = self.host.ids.release(&self.owner) {
            tracing::warn!(error = chain(&error), "give a throw-away id range back");
        }
    }
}

impl super::Images {
    /// Sees to it that the pool has the image's layer, and names it; an empty root has none. The
    /// root comes back with what was learned of the image while unpacking it. One that is being made
    /// when the pool falls silent is made to its end, for whoever comes later.
    pub async fn ensure_layer(
        self: &Arc<Self>,
        root: Root,
        pool: &PoolName,
        progress: &ProgressReporter,
    ) -> Result<(Root, Option<Fingerprint>)> {
        let Root::Image(record) = &root else { return Ok((root, None)) };
        let id = Fingerprint::new(&record.fingerprint)?;
        let pool = self.pools.get(pool.as_str())?;
        if record.templates.is_some() && has(&pool, &id).await? {
            return Ok((root, Some(id)));
        }
        let (images, record) = (self.clone(), record.clone());
        let (within, layer, progress) = (pool.clone(), id.clone(), progress.clone());
        let making = async move { images.make_once(&record, within, &layer, &progress).await };
        let record = pool.while_it_answers(ended(tokio::spawn(making))).await?;
        Ok((Root::Image(Arc::new(record)), Some(id)))
    }

    async fn make_once(
        &self,
        record: &ImageRecord,
        pool: Pool,
        id: &Fingerprint,
        progress: &ProgressReporter,
    ) -> Result<ImageRecord> {
        let making = self.layers.making(pool.name().as_str(), &record.fingerprint);
        let _one = progress.unless_cancelled(making.lock()).await?;
        // Who deletes it has been here, or will not come: what is made now would never be removed.
        if self.deleting.has(&record.fingerprint) {
            let text = format!("image {} is just being deleted", record.fingerprint);
            return Err(Error::not_found(text));
        }
        self.get(&record.fingerprint)?;
        if !has(&pool, id).await? {
            self.make_layer(record, pool, id, progress).await?;
        }
        self.get(&record.fingerprint)
    }

    /// Unpacks an image that was just taken in into the pool that instances use by default: what is
    /// wrong with it is told now, and the first launch need not wait. An image that cannot be unpacked
    /// is taken away again. Without a default pool it is unpacked where it is first used.
    pub async fn prove(
        self: &Arc<Self>,
        record: ImageRecord,
        pool: Option<PoolName>,
        progress: &ProgressReporter,
    ) -> Result<ImageRecord> {
        let Some(pool) = pool else { return Ok(record) };
        let fingerprint = record.fingerprint.clone();
        let root = Root::Image(Arc::new(record));
        match self.ensure_layer(root, &pool, progress).await {
            Ok(_) => self.get(&fingerprint),
            Err(error) => {
                // What is wrong with the image is what its client has to hear.
                if let Err(kept) = self.delete(&fingerprint).await {
                    tracing::warn!(fingerprint, error = %kept.chain(), "take an image away again");
                }
                Err(error)
            }
        }
    }

    async fn make_layer(
        &self,
        record: &ImageRecord,
        pool: Pool,
        id: &Fingerprint,
        progress: &ProgressReporter,
    ) -> Result<()> {
        let files = self.files.files(&record.fingerprint.parse()?)?;
        let fingerprint = record.fingerprint.clone();
        let intent = Intent::UnpackImage { fingerprint, pool: pool.name().clone() };
        let intent = self.journal.begin(&intent).await?;
        let made = self.fill(pool.clone(), record, id, &files, progress).await;
        self.journal.clear(intent).await?;
        match made {
            Ok(Filled::Mounted) => self.convert_behind(pool, id.clone(), files),
            Ok(Filled::Unpacked) => {}
            Err(error) => {
                // What was unpacked so far.
                self.pools.empty_trash_behind(pool.name().as_str());
                return Err(error);
            }
        }
        Ok(())
    }

    async fn fill(
        &self,
        pool: Pool,
        record: &ImageRecord,
        id: &Fingerprint,
        files: &ImageFiles,
        progress: &ProgressReporter,
    ) -> Result<Filled> {
        if let Some(squashfs) = mountable(record, files)
            && attach(pool.clone(), id, squashfs).await?
        {
            return Ok(Filled::Mounted);
        }
        self.unpack(pool, record, files.clone(), progress).await?;
        Ok(Filled::Unpacked)
    }

    async fn unpack(
        &self,
        pool: Pool,
        record: &ImageRecord,
        files: ImageFiles,
        progress: &ProgressReporter,
    ) -> Result<()> {
        let throw_away = self.layers.throw_away()?;
        let (id, reporter) = (Fingerprint::new(&record.fingerprint)?, progress.clone());
        let scratch = record.templates.is_none().then(|| self.build_dir()).transpose()?;
        let unpacked = blocking(move || {
            let sandboxing = &throw_away.sandboxing;
            let limits = Limits::default();
            let mut unpacked = None;
            let mut fill = |target: &std::path::Path| {
                unpacked = Some(sc_images::unpack(&files, target, &limits, sandboxing, &reporter)?);
                Ok(())
            };
            pool.import_image(&id, &mut fill).map_err(unpack_error)?;
            if let (None, Some(scratch)) = (&unpacked, &scratch) {
                // The layer outlived an earlier import of this image, kept by its instances. What
                // else the image holds must be read all the same.
                let target = scratch.path();
                unpacked = Some(sc_images::unpack(&files, target, &limits, sandboxing, &reporter)?);
            }
            Ok(unpacked)
        })
        .await?;
        match (unpacked, &record.templates) {
            (Some(unpacked), None) => {
                let with = |record| {
                    Ok(ImageRecord { templates: Some(unpacked.templates.clone()), ..record })
                };
                self.change(&record.fingerprint, with).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Converts a mounted image to what reads fastest, while its first guests run.
    fn convert_behind(&self, pool: Pool, id: Fingerprint, files: ImageFiles) {
        let Some(rootfs) = files.rootfs else { return };
        let throw_away = match self.layers.throw_away() {
            Ok(throw_away) => throw_away,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "an image stays in its mounted form");
                return;
            }
        };
        tokio::task::spawn_blocking(move || {
            let mut fill = |target: &std::path::Path| {
                let sandboxing = &throw_away.sandboxing;
                sc_images::unpack_rootfs(&rootfs, target, &Limits::default(), sandboxing, &Silent)?;
                Ok(())
            };
            match pool.has_image(&id) {
                Ok(Some(ImageForm::Squashfs)) => {}
                _ => return,
            }
            if let Err(error) = pool.convert_image(&id, &mut fill) {
                let error = unpack_error(error);
                tracing::warn!(image = id.as_str(), error = %error.chain(),
                    "an image stays in its mounted form");
            }
        });
    }
}

/// Removes an image's layer from a pool. One that is just being made is waited for.
async fn remove_from(pool: Pool, id: Fingerprint, making: Turn) -> Result<()> {
    let _one = making.lock().await;
    blocking(move || {
        if pool.has_image(&id)?.is_some() {
            pool.delete_image(&id)?;
            pool.empty_trash()?;
        }
        Ok(())
    })
    .await
}

/// Whether a pool has an image's layer.
async fn has(pool: &Pool, id: &Fingerprint) -> Result<bool> {
    let id = id.clone();
    pool.work(move |pool| Ok(pool.has_image(&id)?.is_some())).await
}

/// Takes a verified squashfs in as it is; false where it must be unpacked here.
async fn attach(pool: Pool, id: &Fingerprint, squashfs: PathBuf) -> Result<bool> {
    let id = id.clone();
    blocking(move || match pool.attach_squashfs(&id, &squashfs)? {
        Attached::Ready => Ok(true),
        Attached::NeedsConversion { reason } => {
            tracing::debug!(image = id.as_str(), reason, "image is unpacked before use");
            Ok(false)
        }
    })
    .await
}

/// The image's squashfs, where it may be mounted as it is.
fn mountable(record: &ImageRecord, files: &ImageFiles) -> Option<PathBuf> {
    files.rootfs.clone().filter(|_| record.verified && record.squashfs)
}

/// Unwraps the unpacker's own error, whose kind says whose fault it was.
fn unpack_error(error: sc_storage::Error) -> Error {
    match error {
        sc_storage::Error::Fill { source, .. } => match source.downcast::<sc_images::Error>() {
            Ok(own) => Error::from(*own),
            Err(other) => Error::because(ErrorKind::Internal, "unpack the image", other),
        },
        other => other.into(),
    }
}
