//! Networks.

use http::Method;
use sc_api::{Network, NetworkLease, NetworkState, NetworksPost};

use crate::client::Client;
use crate::error::Result;
use crate::resource::{Tagged, path};

impl Client {
    /// All networks: the managed ones, and the host's interfaces.
    pub async fn networks(&self) -> Result<Vec<Network>> {
        self.get("/1.0/networks?recursion=1").await
    }

    /// One network.
    pub async fn network(&self, name: &str) -> Result<Tagged<Network>> {
        self.get_tagged(&path(&["networks", name])).await
    }

    /// A network's state.
    pub async fn network_state(&self, name: &str) -> Result<NetworkState> {
        self.get(&path(&["networks", name, "state"])).await
    }

    /// The addresses that a network gave away.
    pub async fn network_leases(&self, name: &str) -> Result<Vec<NetworkLease>> {
        self.get(&path(&["networks", name, "leases"])).await
    }

    /// Creates a network.
    pub async fn create_network(&self, post: &NetworksPost) -> Result<()> {
        self.submit(Method::POST, "/1.0/networks", post).await
    }

    /// Deletes a network that nothing uses.
    pub async fn delete_network(&self, name: &str) -> Result<()> {
        self.delete(&path(&["networks", name])).await
    }
}
