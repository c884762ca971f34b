//! Storage pools as they are kept.

use std::path::PathBuf;

use sc_api::{ConfigMap, PoolName};
use sc_store::Document;
use serde::{Deserialize, Serialize};

/// A storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    pub name: PoolName,
    pub description: String,
    pub driver: String,
    pub config: ConfigMap,
    /// The folder that holds it.
    pub path: PathBuf,
}

impl Document for PoolRecord {
    const PREFIX: &'static str = "/storage-pools";
    const VERSION: u32 = 1;

    fn id(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }
}
