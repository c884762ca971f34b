//! What the drivers that work in plain folders have in common; they differ by a [`Flavour`].

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, symlinkat};
use rustix::io::Errno;

use super::{Attached, Driver, DriverKind, Fill, ImageForm, Imported, Source};
use crate::error::{Error, Result};
use crate::folder;
use crate::layers::Layers;
use crate::layout::Layout;
use crate::name::{Fingerprint, VolumeName};
use crate::plan::{Root, RootPlan};
use crate::progress::ProgressSink;
use crate::temporary::Temporary;
use crate::usage::{self, Resources, Usage};

/// The root of a volume that is one directory.
pub(super) const ROOT: &str = "root";

/// Names the layer that a volume needs for as long as it lives.
const LAYER: &str = "layer";

/// A pool's folders and layers, as a flavour works with them.
#[derive(Debug)]
pub(super) struct Folders {
    pub(super) layout: Layout,
    pub(super) layers: Layers,
}

/// What makes a driver.
pub(super) trait Flavour: fmt::Debug + Send + Sync {
    /// Which driver it is.
    const KIND: DriverKind;

    /// Whether a volume needs its image's layer for as long as it lives.
    const SHARES_LAYERS: bool;

    /// Where a volume of an image keeps what is its own, below the volume's folder.
    const OWN: &'static str;

    /// Takes an image in as a squashfs file, if the driver can use one.
    fn attach(&self, pool: &Folders, image: &Fingerprint, file: &Path) -> Result<Attached>;

    /// Fills a volume in the making from an image, which is held meanwhile.
    fn fill(
        &self,
        pool: &Folders,
        volume: &Temporary<'_>,
        image: &Fingerprint,
        form: ImageForm,
        progress: &ProgressSink<'_>,
    ) -> Result<()>;

    /// What the root of a volume on a shared layer is made of.
    fn root(&self, pool: &Folders, volume: &Path, image: &Fingerprint) -> Result<Root>;

    /// The image's packed form is not needed any more, or the image is gone.
    fn forget(&self, image: &Fingerprint);
}

/// A driver in plain folders.
#[derive(Debug)]
pub(super) struct Local<F> {
    pool: Folders,
    flavour: F,
}

impl<F: Flavour> Local<F> {
    /// Takes up an open pool: notes who needs which layer, and sweeps.
    pub(super) fn new(layout: Layout, flavour: F) -> Result<Self> {
        let mut driver = Self { pool: Folders { layout, layers: Layers::new() }, flavour };
        driver.note_users()?;
        driver.sweep()?;
        Ok(driver)
    }

    /// Notes which layers the volumes need. What is odd is told and left alone: only who uses it
    /// fails.
    fn note_users(&mut self) -> Result<()> {
        let Folders { layout, .. } = &self.pool;
        layout.tell_odd::<Fingerprint>(&layout.layers, "layers")?;
        let mut unknown = layout.tell_odd::<VolumeName>(&layout.volumes, "volumes")?;
        for name in self.volumes()? {
            match self.layer_of(&name) {
                Ok(layer) => layer.into_iter().for_each(|image| self.pool.layers.note(image)),
                Err(error) => {
                    tracing::warn!(volume = %name, error = &error as &dyn std::error::Error, "look at a volume");
                    unknown = true;
                }
            }
        }
        if unknown && F::SHARES_LAYERS {
            self.pool.layers.note_unknown();
        }
        Ok(())
    }

    /// The layer that a volume needs.
    fn layer_of(&self, name: &VolumeName) -> Result<Option<Fingerprint>> {
        let volume = self.pool.layout.open_volume(name)?;
        let path = || self.pool.layout.volume_path(name).join(LAYER);
        let no_image = || Error::Volume {
            path: self.pool.layout.volume_path(name),
            reason: "its \"layer\" is no link that names an image",
        };
        match rustix::fs::readlinkat(&volume, LAYER, Vec::new()) {
            Ok(image) => {
                let image = image.to_str().ok().and_then(|text| Fingerprint::new(text).ok());
                image.map(Some).ok_or_else(no_image)
            }
            Err(Errno::INVAL) => Err(no_image()),
            Err(Errno::NOENT) => Ok(None),
            Err(err) => Err(Error::io("read link", path())(err)),
        }
    }

    fn fill(
        &self,
        made: &Temporary<'_>,
        image: &Fingerprint,
        form: ImageForm,
        progress: &ProgressSink<'_>,
    ) -> Result<()> {
        if F::SHARES_LAYERS {
            symlinkat(image.as_str(), &made.folder, LAYER)
                .map_err(Error::io("make link", made.path.join(LAYER)))?;
        }
        self.flavour.fill(&self.pool, made, image, form, progress)
    }

    fn place(&self, made: Temporary<'_>, name: &VolumeName) -> Result<()> {
        if made.place(name.as_str())? {
            return Ok(());
        }
        Err(self.exists(name))
    }

    fn exists(&self, name: &VolumeName) -> Error {
        Error::Exists { what: "volume", name: name.to_string() }
    }

    fn create_from_image(
        &self,
        name: &VolumeName,
        image: &Fingerprint,
        progress: &ProgressSink<'_>,
    ) -> Result<()> {
        let form = self.pool.layers.hold(&self.pool.layout, image)?;
        let result = self
            .pool
            .layout
            .new_volume()
            .and_then(|made| self.fill(&made, image, form, progress).map(|()| made))
            .and_then(|made| self.place(made, name));
        if !F::SHARES_LAYERS || result.is_err() {
            self.release(image)?;
        }
        result
    }

    fn release(&self, image: &Fingerprint) -> Result<()> {
        self.pool.layers.release(&self.pool.layout, image)?;
        self.forget_if_gone(image)
    }

    fn forget_if_gone(&self, image: &Fingerprint) -> Result<()> {
        if self.has_image(image)? != Some(ImageForm::Squashfs) {
            self.flavour.forget(image);
        }
        Ok(())
    }

    /// Where a volume keeps what is its own.
    fn own(&self, name: &VolumeName) -> Result<&'static str> {
        Ok(if self.layer_of(name)?.is_some() { F::OWN } else { ROOT })
    }
}

impl<F: Flavour> Driver for Local<F> {
    fn kind(&self) -> DriverKind {
        F::KIND
    }

    fn path(&self) -> &Path {
        self.pool.layout.path()
    }

    fn check_in_place(&self) -> Result<()> {
        self.pool.layout.check_in_place()
    }

    fn touch(&self) -> Result<()> {
        self.check_in_place()?;
        self.pool.layout.touch()
    }

    fn has_image(&self, image: &Fingerprint) -> Result<Option<ImageForm>> {
        self.pool.layers.image(&self.pool.layout, image)
    }

    fn import_image(&self, image: &Fingerprint, fill: &mut Fill<'_>) -> Result<Imported> {
        self.pool.layers.import(&self.pool.layout, image, fill)
    }

    fn attach_squashfs(&self, image: &Fingerprint, file: &Path) -> Result<Attached> {
        self.flavour.attach(&self.pool, image, file)
    }

    fn convert_image(&self, image: &Fingerprint, fill: &mut Fill<'_>) -> Result<()> {
        self.pool.layers.convert(&self.pool.layout, image, fill)?;
        self.flavour.forget(image);
        Ok(())
    }

    fn delete_image(&self, image: &Fingerprint) -> Result<()> {
        self.pool.layers.delete(&self.pool.layout, image)?;
        self.flavour.forget(image);
        Ok(())
    }

    fn create_volume(
        &self,
        name: &VolumeName,
        source: Source<'_>,
        progress: &ProgressSink<'_>,
    ) -> Result<()> {
        self.check_in_place()?;
        // Before anything is copied for nothing; what decides is the rename at the end.
        if self.has_volume(name)? {
            return Err(self.exists(name));
        }
        match source {
            Source::Image(image) => self.create_from_image(name, image, progress),
            Source::Empty => {
                let made = self.pool.layout.new_volume()?;
                drop(made.directory(ROOT)?);
                self.place(made, name)
            }
        }
    }

    fn delete_volume(&self, name: &VolumeName) -> Result<()> {
        let layer = self.layer_of(name)?;
        self.pool.layout.delete_volume(name)?;
        layer.map_or(Ok(()), |image| self.release(&image))
    }

    fn settle(&self, beside: &Path) -> Result<()> {
        self.pool.layout.settle(beside)
    }

    fn plan(&self, name: &VolumeName) -> Result<RootPlan> {
        self.check_in_place()?;
        let lease = self.pool.layout.lease(name)?;
        let path = self.pool.layout.volume_path(name);
        let root = match self.layer_of(name)? {
            Some(image) => self.flavour.root(&self.pool, &path, &image)?,
            None => Root::Tree { path: path.join(ROOT) },
        };
        Ok(RootPlan { root, lease })
    }

    fn has_volume(&self, name: &VolumeName) -> Result<bool> {
        self.pool.layout.has_volume(name)
    }

    fn volumes(&self) -> Result<Vec<VolumeName>> {
        self.pool.layout.volume_names()
    }

    fn images(&self) -> Result<Vec<Fingerprint>> {
        self.pool.layers.images(&self.pool.layout)
    }

    fn usage(&self, name: &VolumeName) -> Result<Usage> {
        let own = PathBuf::from(self.own(name)?);
        let path = self.pool.layout.volume_path(name).join(&own);
        let volume = self.pool.layout.open_volume(name)?;
        let tree = folder::open_beneath(&volume, &own).map_err(Error::io("open", &path))?;
        usage::measure(&tree, &path).map(|sum| sum.usage)
    }

    fn resources(&self) -> Result<Resources> {
        usage::resources(self.pool.layout.folder(), self.path())
    }

    fn write_backup(&self, name: &VolumeName, content: &[u8]) -> Result<()> {
        self.pool.layout.write_backup(name, content)
    }

    fn read_backup(&self, name: &VolumeName) -> Result<Option<Vec<u8>>> {
        self.pool.layout.read_backup(name)
    }

    fn empty_trash(&self) -> Result<()> {
        self.pool.layout.empty_trash()
    }

    fn sweep(&self) -> Result<()> {
        self.pool.layout.discard_half_made()?;
        for name in self.volumes()? {
            match self.pool.layout.discard_half_written(&name) {
                // Deleted meanwhile.
                Ok(()) | Err(Error::NoVolume { .. }) => {}
                Err(error) => {
                    tracing::warn!(volume = %name, error = &error as &dyn std::error::Error, "clear up a volume");
                }
            }
        }
        self.pool.layers.sweep(&self.pool.layout)
    }
}

/// Makes a directory in a volume in the making that only the pool's owner can enter.
pub(super) fn private_directory(made: &Temporary<'_>, below: &str) -> Result<()> {
    rustix::fs::mkdirat(&made.folder, below, Mode::RWXU)
        .map_err(Error::io("make directory", made.path.join(below)))
}
