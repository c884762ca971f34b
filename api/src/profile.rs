//! Profiles: configuration that instances share.

use serde::{Deserialize, Serialize};

use crate::read::{devices, null_default, texts};
use crate::{ConfigMap, DeviceMap, ProfileName};

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Its devices.
    #[serde(default, deserialize_with = "devices")]
    pub devices: DeviceMap,
    /// Paths of the instances that use it.
    #[serde(default, deserialize_with = "null_default")]
    pub used_by: Vec<String>,
}

/// Creates a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatProfilesPost")]
pub struct ProfilesPost {
    /// Its name.
    pub name: ProfileName,
    /// The rest of it.
    #[serde(flatten)]
    pub put: ProfilePut,
}

/// [`ProfilesPost`] as it is read: a flattened field would hide which field is wrong.
#[derive(Deserialize)]
struct FlatProfilesPost {
    name: ProfileName,
    #[serde(default)]
    description: String,
    #[serde(default, deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(default, deserialize_with = "devices")]
    devices: DeviceMap,
}

impl From<FlatProfilesPost> for ProfilesPost {
    fn from(flat: FlatProfilesPost) -> Self {
        let FlatProfilesPost { name, description, config, devices } = flat;
        Self { name, put: ProfilePut { description, config, devices } }
    }
}

/// Changes some of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProfilePatch {
    /// In words.
    pub description: Option<String>,
    /// Keys to set; an empty value removes the key.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Devices to add or replace.
    #[serde(default, deserialize_with = "devices")]
    pub devices: DeviceMap,
}

/// Replaces a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProfilePut {
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Its devices.
    #[serde(default, deserialize_with = "devices")]
    pub devices: DeviceMap,
}
