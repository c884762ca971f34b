//! Images and aliases as they are kept.

use std::collections::BTreeMap;

use sc_api::{ConfigMap, Image, ImageAlias, ImagePut, ImageSource, Timestamp, no_time};
use sc_images::Metadata;
use sc_store::Document;
use serde::{Deserialize, Serialize};

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    pub fingerprint: String,
    pub metadata: Metadata,
    /// The files of its `templates/` folder by name; of a unified image they are known once it has
    /// been unpacked.
    pub templates: Option<BTreeMap<String, String>>,
    pub properties: ConfigMap,
    pub filename: String,
    pub size: u64,
    pub public: bool,
    /// Fetched for a launch, not imported.
    pub cached: bool,
    /// Every byte came from a source whose signature was checked, so that it may be mounted.
    pub verified: bool,
    /// Whether the root file system is a squashfs file of its own.
    pub squashfs: bool,
    pub uploaded_at: Timestamp,
    /// Where it was fetched from.
    pub source: Option<ImageSource>,
}

impl ImageRecord {
    /// What a PUT would replace.
    pub fn put(&self) -> ImagePut {
        ImagePut { public: self.public, properties: self.properties.clone(), ..ImagePut::default() }
    }

    /// When it says that it is out of date.
    pub fn expires_at(&self) -> Timestamp {
        moment(self.metadata.expiry_date)
    }

    /// As the API shows it.
    pub fn view(&self, aliases: Vec<ImageAlias>, last_use: Option<ImageUse>) -> Image {
        Image {
            fingerprint: self.fingerprint.clone(),
            aliases,
            architecture: self.metadata.architecture.clone(),
            auto_update: false,
            cached: self.cached,
            created_at: moment(self.metadata.creation_date),
            expires_at: self.expires_at(),
            last_used_at: last_use.map_or_else(no_time, |last| last.at),
            uploaded_at: self.uploaded_at,
            filename: self.filename.clone(),
            properties: self.properties.clone(),
            public: self.public,
            size: self.size,
            image_type: "container".into(),
            profiles: vec![super::DEFAULT_PROFILE.into()],
            update_source: self.source.clone(),
        }
    }
}

/// A moment of an image's metadata; 0 stands for none.
fn moment(seconds: i64) -> Timestamp {
    match seconds {
        0 => no_time(),
        seconds => Timestamp::from_second(seconds).unwrap_or_else(|_| no_time()),
    }
}

/// When an image was last used. Written with every instance that is made from it, and so by itself:
/// whoever changes the image is not in the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageUse {
    pub fingerprint: String,
    pub at: Timestamp,
}

/// Another name for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRecord {
    pub name: String,
    pub description: String,
    /// The image's fingerprint.
    pub target: String,
}

impl Document for ImageRecord {
    const PREFIX: &'static str = "/images";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![self.fingerprint.clone()]
    }
}

impl Document for ImageUse {
    const PREFIX: &'static str = "/image-uses";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![self.fingerprint.clone()]
    }
}

impl Document for AliasRecord {
    const PREFIX: &'static str = "/image-aliases";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}
