//! The server itself, as `GET /1.0` shows it.

use serde::{Deserialize, Serialize};

use crate::{ConfigMap, null_default, texts};

/// The server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// What works beyond the first version of the API.
    pub api_extensions: Vec<String>,
    /// `stable`.
    pub api_status: String,
    /// `1.0`.
    pub api_version: String,
    /// `trusted` or `untrusted`.
    pub auth: String,
    /// How clients may prove themselves over the network.
    #[serde(default, deserialize_with = "null_default")]
    pub auth_methods: Vec<String>,
    /// The caller's name.
    #[serde(default)]
    pub auth_user_name: String,
    /// How the caller came: `unix`.
    #[serde(default)]
    pub auth_user_method: String,
    /// Whether anyone may fetch its images.
    pub public: bool,
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// What it runs on.
    #[serde(default)]
    pub environment: Environment,
}

/// What a server runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Environment {
    #[serde(deserialize_with = "null_default")]
    pub addresses: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub architectures: Vec<String>,
    pub certificate: String,
    pub certificate_fingerprint: String,
    pub driver: String,
    pub driver_version: String,
    pub firewall: String,
    pub kernel: String,
    pub kernel_architecture: String,
    pub kernel_features: ConfigMap,
    pub kernel_version: String,
    pub os_name: String,
    pub os_version: String,
    pub project: String,
    pub server: String,
    pub server_clustered: bool,
    pub server_name: String,
    pub server_pid: u32,
    pub server_version: String,
    pub storage: String,
    pub storage_version: String,
}

/// Replaces the server's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerPut {
    /// Its configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
}
