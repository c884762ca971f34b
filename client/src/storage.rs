//! Storage pools.

use http::Method;
use sc_api::{PoolResources, StoragePool, StoragePoolsPost};

use crate::client::Client;
use crate::error::Result;
use crate::resource::{Tagged, path};

impl Client {
    /// All pools.
    pub async fn pools(&self) -> Result<Vec<StoragePool>> {
        self.get("/1.0/storage-pools?recursion=1").await
    }

    /// One pool.
    pub async fn pool(&self, name: &str) -> Result<Tagged<StoragePool>> {
        self.get_tagged(&path(&["storage-pools", name])).await
    }

    /// What a pool has and uses.
    pub async fn pool_resources(&self, name: &str) -> Result<PoolResources> {
        self.get(&path(&["storage-pools", name, "resources"])).await
    }

    /// Creates a pool.
    pub async fn create_pool(&self, post: &StoragePoolsPost) -> Result<()> {
        self.submit(Method::POST, "/1.0/storage-pools", post).await
    }

    /// Deletes a pool that nothing uses; by force, one that is lost is forgotten.
    pub async fn delete_pool(&self, name: &str, force: bool) -> Result<()> {
        let path = path(&["storage-pools", name]);
        self.delete(&if force { format!("{path}?force=1") } else { path }).await
    }
}
