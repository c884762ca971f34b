//! The dir driver: each volume is a whole copy of its image, by reflink where the file system
//! has it.

use std::path::Path;

use super::local::{Flavour, Folders, ROOT};
use super::{Attached, DriverKind, ImageForm};
use crate::copy::copy_tree;
use crate::error::Result;
use crate::layers;
use crate::name::Fingerprint;
use crate::plan::Root;
use crate::progress::ProgressSink;
use crate::temporary::Temporary;

/// The dir driver keeps nothing in memory.
#[derive(Debug, Default)]
pub(super) struct Dir;

impl Flavour for Dir {
    const KIND: DriverKind = DriverKind::Dir;
    const SHARES_LAYERS: bool = false;
    const OWN: &'static str = ROOT;

    fn attach(&self, _: &Folders, _: &Fingerprint, _: &Path) -> Result<Attached> {
        let reason = "the dir driver copies images file by file".to_owned();
        Ok(Attached::NeedsConversion { reason })
    }

    fn fill(
        &self,
        pool: &Folders,
        volume: &Temporary<'_>,
        image: &Fingerprint,
        _form: ImageForm,
        progress: &ProgressSink<'_>,
    ) -> Result<()> {
        let source = layers::open_root(&pool.layout, image)?;
        let target = volume.directory(ROOT)?;
        let total = pool.layers.facts(&pool.layout, image).map(|facts| facts.bytes);
        let report = copy_tree(&source, &target, &volume.path.join(ROOT), total, progress)?;
        if report.devices > 0 {
            tracing::debug!(%image, devices = report.devices, "device nodes left out of the copy");
        }
        // A volume that is in place is whole, also after a power cut. Shared extents are on disk
        // already, and the file system keeps its own changes in order.
        if report.written > 0 { pool.layout.sync() } else { Ok(()) }
    }

    fn root(&self, _: &Folders, volume: &Path, _: &Fingerprint) -> Result<Root> {
        Ok(Root::Tree { path: volume.join(ROOT) })
    }

    fn forget(&self, _: &Fingerprint) {}
}
