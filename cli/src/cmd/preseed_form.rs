//! The text of `sc admin init --preseed`, in the form that LXD's `init` writes and reads. A part that
//! there is not here may stand in it as long as it asks for nothing.

use anyhow::{Result, anyhow, bail};
use sc_api::{ConfigMap, DeviceMap, NetworkName, PoolName, ProfileName, null_default, texts};
use serde::Deserialize;
use serde_json::Value;

use crate::yaml;

/// What is wanted.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preseed {
    /// The server's keys.
    #[serde(deserialize_with = "texts")]
    pub config: ConfigMap,
    /// The networks.
    #[serde(deserialize_with = "null_default")]
    pub networks: Vec<WantedNetwork>,
    /// The pools.
    #[serde(deserialize_with = "null_default")]
    pub storage_pools: Vec<WantedPool>,
    /// The profiles.
    #[serde(deserialize_with = "null_default")]
    pub profiles: Vec<WantedProfile>,
    #[serde(deserialize_with = "null_default")]
    projects: Vec<WantedProject>,
    storage_volumes: Value,
    cluster: Value,
    cluster_groups: Value,
    certificates: Value,
}

/// A network.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedNetwork {
    /// Its name.
    pub name: NetworkName,
    /// Its type; empty for a bridge.
    #[serde(default, rename = "type", deserialize_with = "null_default")]
    pub kind: String,
    /// In words.
    #[serde(default, deserialize_with = "null_default")]
    pub description: String,
    /// Its keys.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    #[serde(default, deserialize_with = "null_default")]
    project: String,
}

/// A storage pool.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedPool {
    /// Its name.
    pub name: PoolName,
    /// Its driver.
    pub driver: String,
    /// In words.
    #[serde(default, deserialize_with = "null_default")]
    pub description: String,
    /// Its keys.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
}

/// A profile.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedProfile {
    /// Its name.
    pub name: ProfileName,
    /// In words; none leaves what is there.
    pub description: Option<String>,
    /// Keys to set.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Devices to add or replace.
    #[serde(default, deserialize_with = "yaml::devices")]
    pub devices: DeviceMap,
    #[serde(default, deserialize_with = "null_default")]
    project: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedProject {
    name: String,
    #[serde(default, deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

impl Preseed {
    /// Reads the text, and refuses by name what it asks for that there is not.
    pub fn parse(text: &str) -> Result<Self> {
        if yaml::is_empty(text) {
            bail!("standard input says nothing: give a preseed in YAML");
        }
        let mut preseed: Self =
            yaml::parse(text).map_err(|why| anyhow!("the preseed cannot be read: {why}"))?;
        preseed.refuse_unbuilt()?;
        let configs = preseed.networks.iter_mut().map(|network| &mut network.config);
        let configs = configs.chain(preseed.storage_pools.iter_mut().map(|pool| &mut pool.config));
        for config in configs.chain([&mut preseed.config]) {
            config.retain(|_, value| !value.is_empty());
        }
        Ok(preseed)
    }

    fn refuse_unbuilt(&self) -> Result<()> {
        for (part, value) in [
            ("storage_volumes", &self.storage_volumes),
            ("cluster", &self.cluster),
            ("cluster_groups", &self.cluster_groups),
            ("certificates", &self.certificates),
        ] {
            if !asks_for_nothing(value) {
                bail!("the preseed has {part}, and nothing of that is supported: leave it out");
            }
        }
        let of_networks = self.networks.iter().map(|network| &network.project);
        let named = of_networks.chain(self.profiles.iter().map(|profile| &profile.project));
        let named = named.filter(|project| !project.is_empty());
        match named.chain(self.projects.iter().map(|p| &p.name)).find(|name| *name != "default") {
            Some(other) => {
                bail!("the preseed has project {other:?}, but there is only \"default\"")
            }
            None => self.projects.iter().try_for_each(WantedProject::refuse_config),
        }
    }
}

impl WantedProject {
    /// The one project has all of LXD's features to itself, as LXD's own default one has.
    fn refuse_config(&self) -> Result<()> {
        let default = |key: &str, value: &str| key.starts_with("features.") && value == "true";
        match self.config.iter().find(|(key, value)| !value.is_empty() && !default(key, value)) {
            Some((key, value)) => bail!(
                "the preseed has {key}={value} for project default, which is not supported: leave \
                 it out"
            ),
            None => Ok(()),
        }
    }
}

/// Whether a part of a text is as empty as LXD writes it where there is nothing.
fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(asks_for_nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "
config: {}
networks:
- config: {ipv4.address: 10.1.1.1/24, ipv6.address: ~}
  description: ''
  name: br0
  type: ''
  project: default
storage_pools: null
storage_volumes: []
profiles:
- config: {}
  description: Default profile
  devices: {eth0: {name: eth0, network: br0, type: nic}}
  name: default
  project: ''
projects:
- config: {features.images: 'true', features.networks: 'true'}
  description: Default project
  name: default
cluster: {server_name: '', enabled: false, member_config: [], cluster_address: ''}
certificates: []
";

    #[test]
    fn what_lxd_writes_where_there_is_nothing_is_read() {
        let preseed = Preseed::parse(DUMP).unwrap();
        let config = ConfigMap::from([("ipv4.address".into(), "10.1.1.1/24".into())]);
        assert_eq!(preseed.networks[0].config, config);
        assert_eq!(preseed.profiles[0].devices["eth0"]["network"], "br0");
        let empty = "cluster: null\nprojects: []\nprofiles: []\nconfig: ~\nnetworks: []\n";
        assert_eq!(Preseed::parse(empty).unwrap(), Preseed::default());
    }

    #[test]
    fn what_there_is_not_is_refused_by_its_name() {
        for (text, named) in [
            ("cluster: {enabled: true}", "cluster"),
            ("storage_volumes: [{name: v}]", "storage_volumes"),
            ("projects: [{name: other}]", "project \"other\""),
            ("projects: [{name: default, config: {restricted: true}}]", "restricted=true"),
            ("projects: [{name: default, config: {features.images: false}}]", "features.images"),
            ("networks: [{name: br0, project: p1}]", "project \"p1\""),
            ("profiles: [{name: default, project: p1}]", "project \"p1\""),
            ("buckets: []", "`buckets`"),
        ] {
            let error = Preseed::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
