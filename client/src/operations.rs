//! Operations as a resource. Waiting for one is in [`crate::operation`].

use std::collections::BTreeMap;

use sc_api::Operation;

use crate::client::Client;
use crate::error::Result;
use crate::resource::path;

impl Client {
    /// All operations, the oldest first.
    pub async fn operations(&self) -> Result<Vec<Operation>> {
        let by_status: BTreeMap<String, Vec<Operation>> =
            self.get("/1.0/operations?recursion=1").await?;
        let mut operations: Vec<Operation> = by_status.into_values().flatten().collect();
        operations.sort_by_key(|operation| operation.created_at);
        Ok(operations)
    }

    /// One operation.
    pub async fn operation(&self, id: &str) -> Result<Operation> {
        self.get(&path(&["operations", id])).await
    }

    /// Cancels an operation.
    pub async fn cancel(&self, id: &str) -> Result<()> {
        self.delete(&path(&["operations", id])).await
    }
}
