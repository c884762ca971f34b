//! What a new instance's root is made of, and what a request says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sc_api::InstanceSource;
use sc_images::Metadata;

use crate::error::{Error, Result};
use crate::model::ImageRecord;

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
        match (source.source_type.as_str(), source.protocol.as_str()) {
            ("none", _) => Ok(Self::Nothing),
            ("image", "packages") => {
                refuse_unused(&source.server, &source.fingerprint)?;
                Ok(Self::Packages(&source.alias))
            }
            ("image", "") if !source.server.is_empty() => {
                Err(Error::invalid("field \"source.server\" needs a source.protocol"))
            }
            ("image", "") => {
                let reference = [&source.fingerprint, &source.alias];
                let reference = reference.into_iter().find(|text| !text.is_empty());
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
    let sc_api::ImageSource { source_type, protocol, server, fingerprint, alias: _ } = source;
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
    refuse_unused(server, fingerprint)
}

/// What is built from packages comes from where this machine's own apt sources say, and its
/// fingerprint is not known beforehand.
fn refuse_unused(server: &str, fingerprint: &str) -> Result<()> {
    for (field, value) in [("server", server), ("fingerprint", fingerprint)] {
        if !value.is_empty() {
            let text = format!("field \"source.{field}\" has no use with packages: leave it out");
            return Err(Error::invalid(text));
        }
    }
    Ok(())
}
