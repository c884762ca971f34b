//! Storage pools: where images become layers and layers become the root file systems of
//! instances.
//!
//! A pool is a folder (0700, root's) with a format file; a [`Driver`] works in it. Two drivers
//! exist: [`DriverKind::Overlay`] gives each volume an upper directory over its image's shared
//! layer, [`DriverKind::Dir`] gives each volume a whole copy. Both pass the same suite.
//!
//! ```text
//! image file --import_image/attach_squashfs--> layer --create_volume--> volume --plan--> agent
//!                                                                         |
//!                                                   trash <--delete_volume+
//! ```
//!
//! Ownership on disk is always unshifted: what belongs to a guest's root belongs to id 0 on disk,
//! so nothing here ever changes an owner. Everything blocks; the daemon calls it from its
//! blocking threads.
//!
//! Every change becomes visible by one rename or one link, so a crash leaves either the old state
//! or the new one, and beside it at most a `.tmp-` entry or something in the trash, which
//! [`Driver::sweep`] and [`Driver::empty_trash`] take away.
#![warn(missing_docs)]

mod copy;
mod driver;
mod error;
mod folder;
mod format;
mod layers;
mod layout;
mod lock;
mod name;
mod plan;
mod pool;
mod progress;
mod remove;
mod temporary;
mod usage;

pub use driver::{Attached, BoxError, Driver, DriverKind, Fill, ImageForm, Imported, Source};
pub use error::{Error, Result};
pub use name::{Fingerprint, VolumeName};
pub use plan::{LayerTree, Lease, Root, RootPlan};
pub use pool::{create, destroy, is_pool, open};
pub use progress::{Progress, ProgressSink, no_progress};
pub use usage::{Resources, Usage};
