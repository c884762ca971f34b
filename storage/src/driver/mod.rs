//! What every driver does.
//!
//! The life of an image in a pool, and of a volume:
//!
//! ```text
//!          import_image                     delete_image, no volume on it
//! (absent) ------------> Directory -------------------------------------> trash
//!    |                       ^  |  delete_image, volumes on it
//!    | attach_squashfs       |  +-----> retired: no image any more, still a layer;
//!    v                       |                   gone with its last volume
//! Squashfs ------------------+
//!            convert_image
//!
//!          create_volume          plan                 delete_volume
//! (absent) ------------> Idle <========> Leased;  Idle --------------> trash
//!                              lease dropped
//! ```

mod dir;
mod local;
mod overlay;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::name::{Fingerprint, VolumeName};
use crate::plan::RootPlan;
use crate::progress::ProgressSink;
use crate::usage::{Resources, Usage};

/// What a caller's own code may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Fills an empty directory with an image's root file system: what becomes the guest's `/`.
pub type Fill<'a> = dyn FnMut(&Path) -> Result<(), BoxError> + 'a;

/// The drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriverKind {
    /// An upper directory for each volume over its image's shared layer.
    Overlay,
    /// A whole copy for each volume.
    Dir,
}

/// How an image lies in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageForm {
    /// A directory.
    Directory,
    /// A squashfs file that is mounted where it is needed.
    Squashfs,
}

/// What `import_image` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Imported {
    /// The image was filled in.
    New,
    /// The image, or a layer of the same fingerprint, was there: nothing was filled in.
    AlreadyThere,
}

/// What `attach_squashfs` came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// Volumes can be made of the image at once.
    Ready,
    /// This driver or this kernel cannot use the file as it is: import the image instead.
    NeedsConversion {
        /// Why, in one clause.
        reason: String,
    },
}

/// What a new volume begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// An image of this pool.
    Image(&'a Fingerprint),
    /// Nothing: an empty directory, mode 0755.
    Empty,
}

/// A storage driver working in one pool.
///
/// All calls block and may come from many threads at once.
pub trait Driver: Send + Sync + fmt::Debug {
    /// Which driver it is.
    fn kind(&self) -> DriverKind;

    /// The pool's folder.
    fn path(&self) -> &Path;

    /// Whether the pool is still where it was opened.
    ///
    /// # Errors
    ///
    /// [`Error::Moved`] where something else is there: its file system was unmounted, or the folder
    /// moved away.
    fn check_in_place(&self) -> Result<()>;

    /// Looks for the pool where it was opened, makes something in it and takes it away again. It takes no
    /// time where the file systems that it lies on answer.
    fn touch(&self) -> Result<()>;

    /// How an image lies in the pool; `None` where it does not.
    fn has_image(&self, image: &Fingerprint) -> Result<Option<ImageForm>>;

    /// Takes an image in: `fill` is given a fresh empty directory, and what it leaves there is
    /// made durable and put in place at once. Two imports of one image do not disturb each other.
    ///
    /// # Errors
    ///
    /// [`Error::Fill`] with what `fill` failed with; nothing is left behind then.
    fn import_image(&self, image: &Fingerprint, fill: &mut Fill<'_>) -> Result<Imported>;

    /// Takes an image in as the squashfs file that it is, without unpacking. The pool keeps the
    /// file by a hard link, or by a copy where it lies on another file system.
    fn attach_squashfs(&self, image: &Fingerprint, file: &Path) -> Result<Attached>;

    /// Turns an image of the form [`ImageForm::Squashfs`] into a directory, which `fill` fills
    /// with the same content. Volumes of the image keep working, running ones included; they
    /// find the directory at their next plan.
    ///
    /// # Errors
    ///
    /// As [`import_image`](Self::import_image); the image stays as it was.
    fn convert_image(&self, image: &Fingerprint, fill: &mut Fill<'_>) -> Result<()>;

    /// Removes an image. Volumes made of it keep what they need of it, unseen, until the last of
    /// them is gone.
    fn delete_image(&self, image: &Fingerprint) -> Result<()>;

    /// Makes a volume.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NoImage`], [`Error::Moved`], [`Error::Cancelled`]; nothing is left
    /// behind.
    fn create_volume(
        &self,
        name: &VolumeName,
        source: Source<'_>,
        progress: &ProgressSink<'_>,
    ) -> Result<()>;

    /// Moves a volume to the trash, whatever its size.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] while it is leased.
    fn delete_volume(&self, name: &VolumeName) -> Result<()>;

    /// Waits until the volumes that were made and deleted so far are so on the disk, too. Nothing is to be
    /// waited for where the next sync of a file in `beside` that has changed brings that about: on the same
    /// file system, if it keeps its changes in their order.
    fn settle(&self, beside: &Path) -> Result<()>;

    /// Leases a volume and tells how to mount it.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] while another lease is held, by anyone; [`Error::Moved`].
    fn plan(&self, name: &VolumeName) -> Result<RootPlan>;

    /// Whether a volume exists.
    fn has_volume(&self, name: &VolumeName) -> Result<bool>;

    /// The volumes, sorted.
    fn volumes(&self) -> Result<Vec<VolumeName>>;

    /// The images, sorted; retired layers are not among them.
    fn images(&self) -> Result<Vec<Fingerprint>>;

    /// What a volume takes for itself, shared layers not counted. Walks the volume.
    fn usage(&self, name: &VolumeName) -> Result<Usage>;

    /// What the pool's file system has.
    fn resources(&self) -> Result<Resources>;

    /// Keeps a copy of an instance's configuration beside its volume, replaced whole and durable
    /// when this returns.
    fn write_backup(&self, name: &VolumeName, content: &[u8]) -> Result<()>;

    /// The copy that lies there, if there is one.
    fn read_backup(&self, name: &VolumeName) -> Result<Option<Vec<u8>>>;

    /// Removes what lies in the trash, for good. Slow; safe to interrupt, resumed by the next
    /// call. Goes on after an error and returns the first.
    fn empty_trash(&self) -> Result<()>;

    /// Moves what an interrupted operation left to the trash: half-made images and volumes,
    /// layers that nothing refers to. [`open`](crate::open) has done it; what is being made at
    /// the moment is let alone.
    fn sweep(&self) -> Result<()>;
}

impl DriverKind {
    /// The driver's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Dir => "dir",
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DriverKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "overlay" => Ok(Self::Overlay),
            "dir" => Ok(Self::Dir),
            _ => Err(Error::UnknownDriver { driver: text.to_owned() }),
        }
    }
}

/// Takes up an open pool with its driver.
pub(crate) fn take_up(kind: DriverKind, layout: Layout) -> Result<Arc<dyn Driver>> {
    Ok(match kind {
        DriverKind::Overlay => Arc::new(local::Local::new(layout, overlay::Overlay::default())?),
        DriverKind::Dir => Arc::new(local::Local::new(layout, dir::Dir)?),
    })
}
