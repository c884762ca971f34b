//! The parts of an image beside its root filesystem: `metadata.yaml` and `templates/`.

use std::{collections::BTreeMap, io::Read};

use super::{
    path::EntryPath,
    tarfile::{Archive, Entry, Kind},
};
use crate::wire::{Failure, Inside, MAX_TEMPLATES};
use crate::{Metadata, metadata::MAX_METADATA};

/// Where an entry of a unified or metadata tarball belongs.
pub(crate) enum Part {
    Metadata,
    Template(String),
    Rootfs(EntryPath),
    /// LXD's own archives hold nothing else; what others put in is left alone, as LXD does.
    Other,
}

impl Part {
    pub(crate) fn of(path: &EntryPath) -> Inside<Self> {
        if let Some(path) = path.below(b"rootfs") {
            return Ok(Self::Rootfs(path));
        }
        if path.bytes() == b"metadata.yaml" {
            return Ok(Self::Metadata);
        }
        match path.below(b"templates") {
            Some(name) if !name.is_root() => {
                let text = String::from_utf8(name.bytes().to_vec())
                    .ok()
                    .filter(|name| !name.contains('/'))
                    .ok_or_else(|| {
                        Failure::image("a template's name must be plain text without folders")
                    })?;
                Ok(Self::Template(text))
            }
            _ => Ok(Self::Other),
        }
    }
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Parts {
    metadata: Option<Metadata>,
    templates: BTreeMap<String, String>,
    template_bytes: u64,
}

impl Parts {
    pub(crate) fn has_metadata(&self) -> bool {
        self.metadata.is_some()
    }

    /// Reads `metadata.yaml`; a second one replaces the first, as unpacking would.
    pub(crate) fn take_metadata<R: Read>(
        &mut self,
        entry: &Entry,
        data: &mut Archive<R>,
    ) -> Inside<()> {
        let yaml = content(entry, data, MAX_METADATA)?;
        self.metadata = Some(Metadata::parse(&yaml).map_err(|e| Failure::image(e.to_string()))?);
        Ok(())
    }

    /// Reads a template.
    pub(crate) fn take_template<R: Read>(
        &mut self,
        name: String,
        entry: &Entry,
        data: &mut Archive<R>,
    ) -> Inside<()> {
        // The name counts: any number of templates may be empty.
        let left = MAX_TEMPLATES.checked_sub(self.template_bytes + name.len() as u64);
        let left = left.ok_or_else(|| {
            Failure::image(format!("the templates have more than {MAX_TEMPLATES} bytes, the limit"))
        })?;
        let bytes = content(entry, data, left)?;
        self.template_bytes += (name.len() + bytes.len()) as u64;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::image("the template is not UTF-8 text"))?;
        self.templates.insert(name, text);
        Ok(())
    }

    /// Returns both, or says that there is no metadata.
    pub(crate) fn finish(self) -> Inside<(Metadata, BTreeMap<String, String>)> {
        let metadata = self.metadata.ok_or_else(|| {
            Failure::image(
                "the archive has no metadata.yaml at its top: a unified image has metadata.yaml and \
                 rootfs/ in one archive, a split image is given as two files, the one with \
                 metadata.yaml first",
            )
        })?;
        Ok((metadata, self.templates))
    }
}

fn content<R: Read>(entry: &Entry, data: &mut Archive<R>, limit: u64) -> Inside<Vec<u8>> {
    if entry.kind != Kind::File || entry.sparse.is_some() {
        return Err(Failure::image("it is not a plain file"));
    }
    if entry.size > limit {
        return Err(Failure::image(format!(
            "it has {} bytes, at most {limit} are read",
            entry.size
        )));
    }
    let mut bytes = vec![0; usize::try_from(entry.size).expect("below the limit")];
    data.read_data(&mut bytes)?;
    Ok(bytes)
}
