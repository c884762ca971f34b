//! The overlay driver: one upper directory a volume over its image's layer, which all volumes of
//! the image share.
//!
//! A layer that is a squashfs file reaches the agent as a detached mount. All mounts of one file
//! go through one loop device, so that they share one superblock and its cache. They are made
//! `nodev` and never attached: the host's mount table shows none of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind::NotFound;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sc_sys::idmap::IdRange;
use sc_sys::mount::LoopDevice;
use sc_sys::namespace::UserNamespace;

use super::local::{Flavour, Folders, private_directory};
use super::{Attached, DriverKind, ImageForm};
use crate::copy::copy_attributes;
use crate::error::{Error, Result};
use crate::folder;
use crate::layers;
use crate::name::Fingerprint;
use crate::plan::{LayerTree, Root};
use crate::progress::ProgressSink;
use crate::temporary::Temporary;

/// Directory renames work, copied uppers and images unpacked again mount (so the driver itself
/// sees to it that an upper is mounted once), data is always whole in the upper, and inode
/// numbers are stable where the file systems allow it.
const OPTIONS: [(&str, &str); 4] =
    [("redirect_dir", "on"), ("index", "off"), ("metacopy", "off"), ("xino", "auto")];

const WRITABLE: &str = "rw";
const UPPER: &str = "upper";
const WORK: &str = "work";

/// What the overlay driver keeps in memory.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// The loop devices of packed images.
    devices: Mutex<HashMap<Fingerprint, LoopDevice>>,
}

impl Overlay {
    /// Mounts a packed image, detached.
    fn mount(&self, image: &Fingerprint, file: &Path) -> Result<OwnedFd> {
        let failed = |source: sc_sys::SysError| Error::Mount {
            image: image.to_string(),
            source: source.into(),
        };
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let device = match devices.remove(image) {
            Some(device) => device,
            None => {
                let open = File::open(file).map_err(Error::io("open", file))?;
                LoopDevice::attach(&open).map_err(failed)?
            }
        };
        // A device that could not be mounted is not kept.
        let mount = device.mount_squashfs().map_err(failed)?;
        devices.insert(image.clone(), device);
        Ok(mount)
    }

    /// Mounts a packed layer, detached; `None` where it has become a directory since its form was
    /// read. It never turns back while somebody needs it.
    fn packed(&self, pool: &Folders, image: &Fingerprint) -> Result<Option<OwnedFd>> {
        let gone =
            |err: &Error| matches!(err, Error::Io { source, .. } if source.kind() == NotFound);
        match self.mount(image, &layers::squashfs_path(&pool.layout, image)) {
            Err(err) if gone(&err) => match pool.layers.form(&pool.layout, image)? {
                ImageForm::Directory => Ok(None),
                ImageForm::Squashfs => Err(err),
            },
            other => other.map(Some),
        }
    }

    /// The layer's root, to read its attributes.
    fn open_layer(&self, pool: &Folders, image: &Fingerprint, form: ImageForm) -> Result<OwnedFd> {
        let packed = match form {
            ImageForm::Directory => None,
            ImageForm::Squashfs => self.packed(pool, image)?,
        };
        let Some(mount) = packed else { return layers::open_root(&pool.layout, image) };
        let file = layers::squashfs_path(&pool.layout, image);
        folder::open_beneath(&mount, Path::new("")).map_err(Error::io("open", file))
    }
}

impl Flavour for Overlay {
    const KIND: DriverKind = DriverKind::Overlay;
    const SHARES_LAYERS: bool = true;
    const OWN: &'static str = "rw/upper";

    fn attach(&self, pool: &Folders, image: &Fingerprint, file: &Path) -> Result<Attached> {
        let open = File::open(file).map_err(Error::io("open", file))?;
        let failed = |source: sc_sys::SysError| Error::Mount {
            image: image.to_string(),
            source: source.into(),
        };
        let device = LoopDevice::attach(&open).map_err(failed)?;
        let mount = device.mount_squashfs().map_err(failed)?;
        if let Some(reason) = why_not_idmapped(&mount) {
            return Ok(Attached::NeedsConversion { reason });
        }
        pool.layers.attach(&pool.layout, image, file)?;
        Ok(Attached::Ready)
    }

    fn fill(
        &self,
        pool: &Folders,
        volume: &Temporary<'_>,
        image: &Fingerprint,
        form: ImageForm,
        _progress: &ProgressSink<'_>,
    ) -> Result<()> {
        private_directory(volume, WRITABLE)?;
        for name in [UPPER, WORK] {
            private_directory(volume, &format!("{WRITABLE}/{name}"))?;
        }
        // The attributes of the merged root are those of the upper directory.
        let path = volume.path.join(Self::OWN);
        let upper = folder::open_beneath(&volume.folder, Path::new(Self::OWN))
            .map_err(Error::io("open", &path))?;
        let layer = self.open_layer(pool, image, form)?;
        copy_attributes(&layer, &upper).map_err(Error::io("set attributes of", path))
    }

    fn root(&self, pool: &Folders, volume: &Path, image: &Fingerprint) -> Result<Root> {
        let packed = match pool.layers.form(&pool.layout, image)? {
            ImageForm::Directory => None,
            ImageForm::Squashfs => self.packed(pool, image)?,
        };
        let directory = || LayerTree::Path(layers::root_path(&pool.layout, image));
        let lower = packed.map_or_else(directory, LayerTree::Fd);
        let options = OPTIONS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Ok(Root::Overlay {
            lowers: vec![lower],
            writable: volume.join(WRITABLE),
            upper: UPPER.to_owned(),
            work: WORK.to_owned(),
            options: options.collect(),
        })
    }

    fn forget(&self, image: &Fingerprint) {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).remove(image);
    }
}

/// Why a detached mount cannot have its ids mapped, found out by mapping them.
fn why_not_idmapped(mount: &OwnedFd) -> Option<String> {
    let range = IdRange::new(0x7000_0000, 0x1_0000).expect("a range within 32 bits");
    let outcome =
        UserNamespace::create(range).and_then(|userns| sc_sys::mount::idmap(mount, &userns));
    outcome.err().map(|err| {
        let cause = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
        format!("this kernel does not map the ids of a squashfs mount ({err}: {cause})")
    })
}
