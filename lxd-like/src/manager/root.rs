//! What a new instance's root is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use sc_images::Metadata;

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
