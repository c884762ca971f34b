//! Images: what a new instance's root filesystem is made from.
//!
//! - [`format`] tells image files apart by their first bytes, [`fingerprint`] names them as LXD
//!   does, [`metadata`] is their `metadata.yaml`;
//! - [`store`] keeps image files by fingerprint in one folder;
//! - [`unpack`] reads foreign archives in a process that is nobody on the host ([`sandbox_main`] is
//!   that process's main function) and lays their root filesystem into a directory;
//! - [`template`] renders the files that an image wants written for each new instance;
//! - [`packages`] builds images from a distribution's signed packages on this machine.
//!
//! All calls block. Nothing here knows of HTTP, databases or operations: progress and cancellation
//! go through [`Progress`].

pub mod fingerprint;
pub mod format;
pub mod metadata;
pub mod packages;
pub mod store;
pub mod template;
pub mod unpack;

mod error;
mod inside;
mod progress;
mod wire;

pub use error::{Error, Result};
pub use fingerprint::Fingerprint;
pub use metadata::Metadata;
pub use progress::{Progress, Silent};
pub use sc_api::ErrorKind;
pub use store::Store;
pub use unpack::{
    ImageFiles, Inspected, Limits, SANDBOX_ROLE, Sandboxing, UnpackedImage, inspect, sandbox_main,
    unpack, unpack_rootfs,
};
