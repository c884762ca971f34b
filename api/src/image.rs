//! Images and their aliases.

use serde::{Deserialize, Serialize};

use crate::read::{null_default, object, objects, texts};
use crate::{AliasName, ConfigMap, Timestamp};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The sha256 of its files, as LXD computes it.
    pub fingerprint: String,
    /// Its aliases.
    #[serde(default, deserialize_with = "null_default")]
    pub aliases: Vec<ImageAlias>,
    /// Such as `x86_64`.
    pub architecture: String,
    /// Whether it is renewed from where it came.
    #[serde(default)]
    pub auto_update: bool,
    /// Whether it is a copy that was fetched for a launch.
    #[serde(default)]
    pub cached: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends to be of use.
    pub expires_at: Timestamp,
    /// When an instance was last made from it.
    pub last_used_at: Timestamp,
    /// When it came here.
    pub uploaded_at: Timestamp,
    /// The name of the file it came as.
    #[serde(default)]
    pub filename: String,
    /// Its properties: `os`, `release`, `description` ...
    #[serde(default, deserialize_with = "texts")]
    pub properties: ConfigMap,
    /// Whether anyone may fetch it.
    #[serde(default)]
    pub public: bool,
    /// In bytes.
    pub size: u64,
    /// `container`.
    #[serde(rename = "type")]
    pub image_type: String,
    /// Profiles that its instances get.
    #[serde(default, deserialize_with = "null_default")]
    pub profiles: Vec<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_source: Option<ImageSource>,
}

/// Another name for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAlias {
    /// The name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// The fingerprint of the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// `container`.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub alias_type: String,
}

/// Creates an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAliasesPost {
    /// The name.
    pub name: AliasName,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// The image's fingerprint, or a unique beginning of it.
    pub target: String,
}

/// An alias that an image gets when it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAlias {
    /// The name.
    pub name: AliasName,
    /// In words.
    #[serde(default)]
    pub description: String,
}

/// Replaces an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAliasPut {
    /// In words.
    #[serde(default)]
    pub description: String,
    /// The image's fingerprint.
    pub target: String,
}

/// Replaces what may be changed of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImagePut {
    /// Whether anyone may fetch it.
    #[serde(default)]
    pub public: bool,
    /// Its properties.
    #[serde(default, deserialize_with = "texts")]
    pub properties: ConfigMap,
    /// Whether it is renewed from where it came: known, so that it can be refused by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_update: bool,
    /// When it ends to be of use: known, so that a change can be refused by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageSource {
    /// `image`, for a remote's.
    #[serde(default, rename = "type")]
    pub source_type: String,
    /// The remote's protocol: `packages`.
    #[serde(default)]
    pub protocol: String,
    /// The remote's address.
    #[serde(default)]
    pub server: String,
    /// The image's alias there.
    #[serde(default)]
    pub alias: String,
    /// Or its fingerprint.
    #[serde(default)]
    pub fingerprint: String,
    /// The project that the image is in: there is `default` alone.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub project: String,
    /// Who connects to whom for what is far away: known, so that what is not `pull` can be refused by name.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub mode: String,
}

/// Asks for an image to be fetched from a remote. (Uploads are a body of their own.)
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImagesPost {
    /// Where it comes from.
    #[serde(deserialize_with = "object")]
    pub source: ImageSource,
    /// Aliases it gets.
    #[serde(default, deserialize_with = "objects")]
    pub aliases: Vec<NewAlias>,
    /// Whether anyone may fetch it.
    #[serde(default)]
    pub public: bool,
    /// Properties over its own.
    #[serde(default, deserialize_with = "texts")]
    pub properties: ConfigMap,
    /// Whether it is renewed from where it came: known, so that it can be refused by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_update: bool,
}
