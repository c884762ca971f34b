//! Profiles as they are kept.

use sc_api::{ConfigMap, DeviceMap, Profile, ProfileName, ProfilePut};
use sc_store::Document;
use serde::{Deserialize, Serialize};

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRecord {
    pub name: ProfileName,
    pub description: String,
    pub config: ConfigMap,
    pub devices: DeviceMap,
}

impl ProfileRecord {
    /// The profile with everything in it replaced.
    pub fn with(name: ProfileName, put: ProfilePut) -> Self {
        Self { name, description: put.description, config: put.config, devices: put.devices }
    }

    /// What a PUT would replace.
    pub fn put(&self) -> ProfilePut {
        ProfilePut {
            description: self.description.clone(),
            config: self.config.clone(),
            devices: self.devices.clone(),
        }
    }

    /// As the API shows it.
    pub fn view(&self, used_by: Vec<String>) -> Profile {
        Profile {
            name: self.name.to_string(),
            description: self.description.clone(),
            config: self.config.clone(),
            devices: self.devices.clone(),
            used_by,
        }
    }
}

impl Document for ProfileRecord {
    const PREFIX: &'static str = "/profiles";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![super::PROJECT.into(), self.name.to_string()]
    }
}
