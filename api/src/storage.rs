//! Storage pools.

use serde::{Deserialize, Serialize};

use crate::{ConfigMap, PoolName, null_default, texts};

/// The drivers of pools, and what each is.
pub const POOL_DRIVERS: &[(&str, &str)] = &[
    ("overlay", "an upper directory for each instance over its image's shared layer"),
    ("dir", "a whole copy for each instance"),
];

/// The keys that a pool has, and what each is.
pub const POOL_KEYS: &[(&str, &str)] =
    &[("source", "an empty folder that is there, to keep it in; not set: one under SC_DIR")];

/// A storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoragePool {
    /// Its name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// `overlay`, `dir` ...
    pub driver: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// `Created`.
    #[serde(default)]
    pub status: String,
    /// Cluster members that have it.
    #[serde(default, deserialize_with = "null_default")]
    pub locations: Vec<String>,
    /// Paths of what uses it.
    #[serde(default, deserialize_with = "null_default")]
    pub used_by: Vec<String>,
}

/// Creates a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoragePoolsPost {
    /// Its name.
    pub name: PoolName,
    /// `overlay`, `dir` ...
    pub driver: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
}

/// What a pool has and uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolResources {
    /// Bytes.
    pub space: PoolSpace,
    /// Inodes.
    pub inodes: PoolSpace,
}

/// How much there is of something, and how much is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolSpace {
    /// Used.
    pub used: u64,
    /// In all.
    pub total: u64,
}
