//! What a new instance's root is made of, and what a request says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sc_api::InstanceSource;
use sc_images::Metadata;

use crate::error::{Error, Result};
use crate::model::{ImageRecord, PROJECT};

/// What a new instance's root is made of.
#[derive(Debug, Clone)]
pub enum Root {
    /// An image.
    Image(Arc<ImageRecord>),
    /// Nothing.
    Empty(Metadata),
}

impl Root {
    /// The image's fingerprint.
    pub fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Image(record) => Some(&record.fingerprint),
            Self::Empty(_) => None,
        }
    }

    /// What the image says of itself.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Image(record) => &record.metadata,
            Self::Empty(metadata) => metadata,
        }
    }

    /// The image's template files.
    pub fn templates(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        match self {
            Self::Image(record) => record.templates.as_ref().unwrap_or(&NONE),
            Self::Empty(_) => &NONE,
        }
    }

    /// The image's properties.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(record) => &record.properties,
            Self::Empty(metadata) => &metadata.properties,
        }
    }

    /// The processor it is for.
    pub fn architecture(&self) -> String {
        self.metadata().architecture.clone()
    }
}

/// What a request asks for as the root of a new instance.
#[derive(Debug)]
pub enum RootSource<'s> {
    /// An empty one.
    Nothing,
    /// The image of this name of the packages remote.
    Packages(&'s str),
    /// The image of this fingerprint or alias.
    Local(&'s str),
}

impl<'s> RootSource<'s> {
    /// Reads it; what is not supported is refused by name.
    pub fn of(source: &'s InstanceSource) -> Result<Self> {
        check_place(&source.project, &source.mode)?;
        if !source.properties.is_empty() {
            let text =
                "field \"source.properties\" is not supported: name the image in source.alias";
            return Err(Error::invalid(text));
        }
        let InstanceSource { protocol, server, alias, fingerprint, .. } = source;
        match (source.source_type.as_str(), protocol.as_str()) {
            ("none", _) => {
                let image = [("alias", alias), ("fingerprint", fingerprint)];
                refuse_unused("source type none", &image)?;
                refuse_unused("source type none", &[("protocol", protocol), ("server", server)])?;
                Ok(Self::Nothing)
            }
            ("image", "packages") => {
                refuse_unused("packages", &[("server", server), ("fingerprint", fingerprint)])?;
                Ok(Self::Packages(alias))
            }
            ("image", "") if !server.is_empty() => {
                Err(Error::invalid("field \"source.server\" needs a source.protocol"))
            }
            ("image", "") => {
                let reference = [fingerprint, alias].into_iter().find(|text| !text.is_empty());
                let reference = reference.ok_or_else(|| {
                    Error::invalid("Image not provided for instance creation: give source.alias")
                })?;
                Ok(Self::Local(reference))
            }
            ("image", protocol) => Err(Error::invalid(format!(
                "image protocol {protocol:?} is not supported: use packages, or import the image"
            ))),
            (other, _) => Err(Error::invalid(format!(
                "source type {other:?} is not supported: use image or none"
            ))),
        }
    }
}

/// Accepts the source of an image that is to be fetched: the packages remote.
pub fn check_source(source: &sc_api::ImageSource) -> Result<()> {
    check_place(&source.project, &source.mode)?;
    let sc_api::ImageSource { source_type, protocol, server, fingerprint, .. } = source;
    if !matches!(source_type.as_str(), "" | "image") {
        return Err(Error::invalid(format!(
            "source type {source_type:?} is not supported: use image"
        )));
    }
    if protocol != "packages" {
        return Err(Error::invalid(format!(
            "image protocol {protocol:?} of the source is not supported: use packages"
        )));
    }
    refuse_unused("packages", &[("server", server), ("fingerprint", fingerprint)])
}

/// Where an image may lie, and how it may come.
fn check_place(project: &str, mode: &str) -> Result<()> {
    if !matches!(project, "" | PROJECT) {
        let text = format!("field \"source.project\": there is {PROJECT:?} only, not {project:?}");
        return Err(Error::not_found(text));
    }
    if !matches!(mode, "" | "pull") {
        let text = format!("field \"source.mode\": {mode:?} is not supported: use pull");
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// Refuses fields of a source that say nothing there. What is built from packages, as an example, comes from
/// where this machine's own apt sources say, and its fingerprint is not known beforehand.
fn refuse_unused(with: &str, fields: &[(&str, &String)]) -> Result<()> {
    match fields.iter().find(|(_, value)| !value.is_empty()) {
        Some((field, _)) => Err(Error::invalid(format!(
            "field \"source.{field}\" has no use with {with}: leave it out"
        ))),
        None => Ok(()),
    }
}
