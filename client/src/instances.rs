//! Instances.

use bytes::Bytes;
use http::Method;
use sc_api::{
    Instance, InstanceParts, InstancePut, InstanceState, InstanceStatePut, InstancesPost, Operation,
};

use crate::client::Client;
use crate::error::Result;
use crate::resource::{Tagged, encode, path};

/// How much a list tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The configuration (`recursion=1`).
    Config,
    /// The state as well: addresses, usage (`recursion=2`).
    State,
    /// The state as well, and of all that these parts (`parts=`, our own addition to LXD's API; a
    /// server without it tells all).
    Parts(InstanceParts),
}

impl Client {
    /// All instances.
    pub async fn instances(&self, detail: Detail) -> Result<Vec<Instance>> {
        let query = match detail {
            Detail::Config => "recursion=1".to_owned(),
            Detail::State => "recursion=2".to_owned(),
            Detail::Parts(parts) => format!("recursion=2&parts={parts}"),
        };
        self.get(&format!("/1.0/instances?{query}")).await
    }

    /// One instance.
    pub async fn instance(&self, name: &str) -> Result<Tagged<Instance>> {
        self.get_tagged(&path(&["instances", name])).await
    }

    /// One instance with its state.
    pub async fn instance_full(&self, name: &str) -> Result<Instance> {
        self.get(&(path(&["instances", name]) + "?recursion=1")).await
    }

    /// An instance's state.
    pub async fn instance_state(&self, name: &str) -> Result<InstanceState> {
        self.get(&path(&["instances", name, "state"])).await
    }

    /// Creates an instance, and starts it if the request says so.
    pub async fn create_instance(&self, post: &InstancesPost) -> Result<Operation> {
        self.start(Method::POST, "/1.0/instances", post).await
    }

    /// Replaces an instance's configuration.
    pub async fn replace_instance(
        &self,
        name: &str,
        put: &InstancePut,
        etag: Option<&str>,
    ) -> Result<Operation> {
        self.start_if(Method::PUT, &path(&["instances", name]), put, etag).await
    }

    /// Starts, stops, restarts ... an instance.
    pub async fn set_instance_state(
        &self,
        name: &str,
        put: &InstanceStatePut,
    ) -> Result<Operation> {
        self.start(Method::PUT, &path(&["instances", name, "state"]), put).await
    }

    /// Deletes a stopped instance.
    pub async fn delete_instance(&self, name: &str) -> Result<Operation> {
        self.start_delete(&path(&["instances", name])).await
    }

    /// A log of an instance: `lxc.log` is that of its supervisor.
    pub async fn instance_log(&self, name: &str, file: &str) -> Result<Bytes> {
        self.get_bytes(&path(&["instances", name, "logs", file])).await
    }

    /// What an instance wrote to its console.
    pub async fn console_log(&self, name: &str) -> Result<Bytes> {
        self.get_bytes(&format!("/1.0/instances/{}/console", encode(name))).await
    }
}
