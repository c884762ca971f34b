//! Making and opening pools.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::driver::{self, Driver, DriverKind};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::layout::Layout;

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
    if let Some(option) = options.keys().next() {
        return Err(Error::UnknownOption { driver: kind.as_str(), option: option.clone() });
    }
    Layout::create(path, &Format::new(kind))?;
    open(path)
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
    let (layout, format) = Layout::open(path)?;
    let kind = format.driver()?;
    if kind == DriverKind::Overlay && format.xattr_namespace.as_deref() != Some("trusted") {
        let reason = "its overlays keep their marks in attributes that this version does not read";
        return Err(Error::Format { path: path.to_owned(), reason: reason.to_owned() });
    }
    driver::take_up(kind, layout)
}

/// Removes a pool with all that is in it. Half-made pools are removed too; a folder that is not
/// there is fine, and one that was never a pool is left alone.
///
/// # Errors
///
/// [`Error::InUse`](crate::Error::InUse) where the pool is open.
pub fn destroy(path: &Path) -> Result<()> {
    Layout::destroy(path)
}
