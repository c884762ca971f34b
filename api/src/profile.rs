//! Profiles: configuration that instances share.

use serde::{Deserialize, Serialize};

use crate::{ConfigMap, DeviceMap, ProfileName, null_default};

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "null_default")]
    pub config: ConfigMap,
    /// Its devices.
    #[serde(default, deserialize_with = "null_default")]
    pub devices: DeviceMap,
    /// Paths of the instances that use it.
    #[serde(default, deserialize_with = "null_default")]
    pub used_by: Vec<String>,
}

/// Creates a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfilesPost {
    /// Its name.
    pub name: ProfileName,
    /// The rest of it.
    #[serde(flatten)]
    pub put: ProfilePut,
}

/// Replaces a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProfilePut {
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "null_default")]
    pub config: ConfigMap,
    /// Its devices.
    #[serde(default, deserialize_with = "null_default")]
    pub devices: DeviceMap,
}
