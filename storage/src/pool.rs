//! Making and opening pools.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::driver::{Driver, DriverKind};
use crate::error::Result;

/// Makes a pool in a folder that does not exist or is empty, and opens it.
///
/// No driver has options yet, so any is refused.
///
/// # Errors
///
/// [`Error::Exists`](crate::Error::Exists) where the folder holds something,
/// [`Error::UnknownOption`](crate::Error::UnknownOption).
pub fn create(
    path: &Path,
    kind: DriverKind,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn Driver>> {
    let _ = (path, kind, options);
    unreachable!("signature only")
}

/// Opens a pool; the driver is the one that its format file names.
///
/// The pool is locked until the returned driver is dropped, so that one daemon only works in it.
///
/// # Errors
///
/// [`Error::Format`](crate::Error::Format) where the folder is no pool or of another version,
/// [`Error::InUse`](crate::Error::InUse) where it is open already.
pub fn open(path: &Path) -> Result<Arc<dyn Driver>> {
    let _ = path;
    unreachable!("signature only")
}
