//! Instances as they are kept.

use std::collections::BTreeMap;

use sc_api::{
    ConfigMap, DeviceMap, InstanceName, InstancePut, NetworkName, PoolName, ProfileName, Timestamp,
};
use sc_images::Metadata;
use sc_network::Reservation;
use sc_store::Document;
use serde::{Deserialize, Serialize};

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub name: InstanceName,
    pub description: String,
    pub architecture: String,
    pub ephemeral: bool,
    pub profiles: Vec<ProfileName>,
    pub config: ConfigMap,
    pub devices: DeviceMap,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    /// The pool that holds its root.
    pub pool: PoolName,
    /// The image's fingerprint; `None` for an empty instance.
    pub image: Option<String>,
    /// The image's metadata, for its templates; an image may be deleted before its instances.
    pub metadata: Metadata,
    /// The image's template files.
    pub templates: BTreeMap<String, String>,
    /// What its NICs were given, by device.
    pub nics: BTreeMap<String, NicRecord>,
    /// Whether it has ever been started: decides which templates are due.
    pub started_before: bool,
}

/// What a NIC was given for as long as the instance has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicRecord {
    pub network: NetworkName,
    /// Its hardware address and its addresses.
    pub reservation: Reservation,
}

impl InstanceRecord {
    /// What a PUT would replace.
    pub fn put(&self) -> InstancePut {
        InstancePut {
            architecture: self.architecture.clone(),
            description: self.description.clone(),
            config: self.config.clone(),
            devices: self.devices.clone(),
            profiles: Some(self.profiles.iter().map(ToString::to_string).collect()),
            ephemeral: self.ephemeral,
            ..InstancePut::default()
        }
    }

    /// What a client that changes the instance wants to find as it has read it: all but the daemon's
    /// own notes (`volatile.*`), which change whenever the instance starts or stops.
    pub fn guarded(&self) -> InstancePut {
        let mut guarded = self.put();
        guarded.config.retain(|key, _| !key.starts_with("volatile."));
        guarded
    }
}

impl Document for InstanceRecord {
    const PREFIX: &'static str = "/instances";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![super::PROJECT.into(), self.name.to_string()]
    }
}
