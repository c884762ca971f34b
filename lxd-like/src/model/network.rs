//! Networks as they are kept.

use sc_api::{ConfigMap, NetworkName};
use sc_store::Document;
use serde::{Deserialize, Serialize};

/// A managed bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub name: NetworkName,
    pub description: String,
    /// LXD's keys, addresses resolved.
    pub config: ConfigMap,
}

impl Document for NetworkRecord {
    const PREFIX: &'static str = "/networks";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }
}
