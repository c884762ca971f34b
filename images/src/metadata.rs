//! `metadata.yaml`: what an image says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Result;

/// The content of an image's `metadata.yaml`, as LXD defines it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The kernel's name of the processor: "x86_64", "aarch64", …; normalised from its aliases.
    pub architecture: String,
    /// When the image was made, in seconds since 1970.
    pub creation_date: i64,
    /// When it stops being useful, in seconds since 1970; 0 for never.
    #[serde(default)]
    pub expiry_date: i64,
    /// Free text about the image: `os`, `release`, `description`, …
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Files to write into each instance, by their path inside it.
    #[serde(default)]
    pub templates: BTreeMap<String, Template>,
}

/// One entry of `templates`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// On which events the file is written.
    #[serde(default)]
    pub when: Vec<When>,
    /// Only if the file is not there yet.
    #[serde(default)]
    pub create_only: bool,
    /// The file in the image's `templates/` folder.
    pub template: String,
    /// Further values, seen by the template as `properties`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The file's owner inside the instance.
    #[serde(default)]
    pub uid: u32,
    /// The file's group inside the instance.
    #[serde(default)]
    pub gid: u32,
    /// The file's mode, as octal digits; empty for 0644.
    #[serde(default)]
    pub mode: String,
}

/// An event of an instance's life that templates are written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The instance was made from an image.
    Create,
    /// The instance was made as a copy of another.
    Copy,
    /// The instance is about to start.
    Start,
    /// The instance has a new name.
    Rename,
}

impl Metadata {
    /// Parses and checks `metadata.yaml`; errors name the field.
    pub fn parse(yaml: &[u8]) -> Result<Self> {
        let _ = yaml;
        unimplemented!()
    }

    /// Refuses an image for another processor than `host` (as `uname -m` says, see
    /// [`host_architecture`]); the 32-bit processor of the same family is accepted.
    pub fn check_architecture(&self, host: &str) -> Result<()> {
        let _ = host;
        unimplemented!()
    }

    /// Writes it as YAML, as it goes into an image.
    pub fn to_yaml(&self) -> String {
        unimplemented!()
    }
}

/// Returns this machine's processor as the kernel names it.
pub fn host_architecture() -> String {
    unimplemented!()
}

/// Returns the kernel's name of a processor given by any usual name ("amd64" for "x86_64").
pub fn normalise_architecture(name: &str) -> Option<&'static str> {
    let _ = name;
    unimplemented!()
}
