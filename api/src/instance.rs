//! Instances.

use serde::{Deserialize, Serialize};

use crate::read::{devices, null_default, object, texts};
use crate::{ConfigMap, DeviceMap, InstanceName, InstanceState, StatusCode, Timestamp};

/// What kind of machine an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum InstanceType {
    /// A container.
    #[default]
    #[serde(rename = "container")]
    Container,
    /// A virtual machine: known, so that it can be refused by name.
    #[serde(rename = "virtual-machine")]
    VirtualMachine,
    /// What old clients send for a container.
    #[serde(rename = "")]
    Unset,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// The status in words.
    pub status: String,
    /// The status.
    pub status_code: StatusCode,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last started.
    pub last_used_at: Timestamp,
    /// The cluster member; `none` on a single server.
    #[serde(default)]
    pub location: String,
    /// What kind of machine.
    #[serde(rename = "type")]
    pub instance_type: InstanceType,
    /// The project.
    #[serde(default)]
    pub project: String,
    /// Such as `x86_64`.
    pub architecture: String,
    /// Whether it is deleted when it stops.
    pub ephemeral: bool,
    /// Whether its processes are saved and restored.
    #[serde(default)]
    pub stateful: bool,
    /// Its profiles, in order.
    #[serde(default, deserialize_with = "null_default")]
    pub profiles: Vec<String>,
    /// Its own configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Its own devices.
    #[serde(default, deserialize_with = "devices")]
    pub devices: DeviceMap,
    /// With what comes from its profiles.
    #[serde(default, deserialize_with = "texts")]
    pub expanded_config: ConfigMap,
    /// With what comes from its profiles.
    #[serde(default, deserialize_with = "devices")]
    pub expanded_devices: DeviceMap,
    /// Its state, in a full answer (`recursion=2`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<InstanceState>,
    /// Its snapshots, in a full answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Vec<serde_json::Value>>,
    /// Its backups, in a full answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<Vec<serde_json::Value>>,
}

/// Where an instance's root comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceSource {
    /// `image` or `none`.
    #[serde(default, rename = "type")]
    pub source_type: String,
    /// An image's alias.
    #[serde(default)]
    pub alias: String,
    /// Or its fingerprint.
    #[serde(default)]
    pub fingerprint: String,
    /// The remote's protocol, where the image is a remote's.
    #[serde(default)]
    pub protocol: String,
    /// The remote's address.
    #[serde(default)]
    pub server: String,
    /// The project that the image is in: there is `default` alone.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub project: String,
    /// Who connects to whom for what is far away: known, so that what is not `pull` can be refused by name.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub mode: String,
    /// What images to choose among: known, so that it can be refused by name.
    #[serde(default, skip_serializing_if = "ConfigMap::is_empty", deserialize_with = "texts")]
    pub properties: ConfigMap,
}

/// Creates an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatInstancesPost")]
pub struct InstancesPost {
    /// Its name; one is made up where there is none.
    #[serde(default)]
    pub name: String,
    /// What kind of machine.
    #[serde(default, rename = "type")]
    pub instance_type: InstanceType,
    /// Where its root comes from.
    #[serde(default)]
    pub source: InstanceSource,
    /// Whether to start it as well.
    #[serde(default)]
    pub start: bool,
    /// A size by name, as clouds have them: known, so that it can be refused by name.
    #[serde(default, rename = "instance_type", skip_serializing_if = "String::is_empty")]
    pub flavour: String,
    /// The rest of it.
    #[serde(flatten)]
    pub put: InstancePut,
}

/// [`InstancesPost`] as it is read: a flattened field would hide which field is wrong.
#[derive(Deserialize)]
struct FlatInstancesPost {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    instance_type: InstanceType,
    #[serde(default, deserialize_with = "object")]
    source: InstanceSource,
    #[serde(default)]
    start: bool,
    #[serde(default, rename = "instance_type")]
    flavour: String,
    #[serde(default)]
    stateful: bool,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    description: String,
    #[serde(default, deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(default, deserialize_with = "devices")]
    devices: DeviceMap,
    #[serde(default)]
    profiles: Option<Vec<String>>,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default, deserialize_with = "null_default")]
    restore: String,
}

impl From<FlatInstancesPost> for InstancesPost {
    fn from(flat: FlatInstancesPost) -> Self {
        Self {
            name: flat.name,
            instance_type: flat.instance_type,
            source: flat.source,
            start: flat.start,
            flavour: flat.flavour,
            put: InstancePut {
                stateful: flat.stateful,
                architecture: flat.architecture,
                description: flat.description,
                config: flat.config,
                devices: flat.devices,
                profiles: flat.profiles,
                ephemeral: flat.ephemeral,
                restore: flat.restore,
            },
        }
    }
}

/// Replaces what may be changed of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstancePut {
    /// Such as `x86_64`; empty means the host's.
    #[serde(default)]
    pub architecture: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its own configuration.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Its own devices.
    #[serde(default, deserialize_with = "devices")]
    pub devices: DeviceMap,
    /// Its profiles, in order; `null` means the default profile.
    #[serde(default)]
    pub profiles: Option<Vec<String>>,
    /// Whether it is deleted when it stops.
    #[serde(default)]
    pub ephemeral: bool,
    /// Asks for a snapshot to be restored: known, so that it can be refused by name.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub restore: String,
    /// Whether processes are restored: known, so that it can be refused by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stateful: bool,
}

/// Changes some of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstancePatch {
    /// In words.
    pub description: Option<String>,
    /// Keys to set; an empty value removes the key.
    #[serde(default, deserialize_with = "texts")]
    pub config: ConfigMap,
    /// Devices to add or replace.
    #[serde(default, deserialize_with = "devices")]
    pub devices: DeviceMap,
    /// Its profiles, in order.
    pub profiles: Option<Vec<String>>,
    /// Whether it is deleted when it stops.
    pub ephemeral: Option<bool>,
    /// What it is anyway: known, so that another can be refused by name.
    pub architecture: Option<String>,
    /// As in [`InstancePut`].
    pub stateful: Option<bool>,
}

/// What to do with a running or stopped instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateAction {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
    /// Stop its processes where they are.
    Freeze,
    /// Let them go on.
    Unfreeze,
}

/// Changes an instance's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatePut {
    /// What to do.
    pub action: StateAction,
    /// Seconds to wait for an orderly stop; negative means as long as the server waits by itself.
    #[serde(default = "no_timeout")]
    pub timeout: i64,
    /// Kill instead of asking.
    #[serde(default)]
    pub force: bool,
    /// Save or restore processes.
    #[serde(default)]
    pub stateful: bool,
}

fn no_timeout() -> i64 {
    -1
}

/// Runs a program in an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceExecPost {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Wait until the websockets are connected.
    #[serde(default, rename = "wait-for-websocket")]
    pub wait_for_websocket: bool,
    /// Give it a terminal.
    #[serde(default)]
    pub interactive: bool,
    /// Its environment.
    #[serde(default, deserialize_with = "texts")]
    pub environment: ConfigMap,
    /// The terminal's width.
    #[serde(default)]
    pub width: u16,
    /// The terminal's height.
    #[serde(default)]
    pub height: u16,
    /// Keep the output in files on the server.
    #[serde(default, rename = "record-output")]
    pub record_output: bool,
    /// The user id inside.
    #[serde(default, deserialize_with = "null_default")]
    pub user: u32,
    /// The group id inside.
    #[serde(default, deserialize_with = "null_default")]
    pub group: u32,
    /// The working directory inside.
    #[serde(default, deserialize_with = "null_default")]
    pub cwd: String,
}

/// Attaches to an instance's console.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceConsolePost {
    /// The terminal's width.
    #[serde(default)]
    pub width: u16,
    /// The terminal's height.
    #[serde(default)]
    pub height: u16,
    /// `console` or empty.
    #[serde(default, rename = "type")]
    pub console_type: String,
    /// Take over from another client.
    #[serde(default)]
    pub force: bool,
}

impl InstancesPost {
    /// A request for an instance of this name from this source, with everything else as it comes.
    pub fn new(name: &InstanceName, source: InstanceSource) -> Self {
        Self {
            name: name.to_string(),
            instance_type: InstanceType::Container,
            source,
            start: false,
            flavour: String::new(),
            put: InstancePut::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_nulls_for_empty_maps_is_read() {
        let text = r#"{"name":"c1","config":null,"devices":null,"profiles":null,
            "source":{"type":"image","alias":"bb"},"type":"","created_at":"x"}"#;
        let post: InstancesPost = serde_json::from_str(text).unwrap();
        assert_eq!(post.put, InstancePut::default());
        assert_eq!(post.source.alias, "bb");
    }

    #[test]
    fn a_request_is_read_as_it_is_written() {
        let source = InstanceSource { alias: "bb".into(), ..InstanceSource::default() };
        let mut post = InstancesPost::new(&"c1".parse().unwrap(), source);
        post.put.description = "words".into();
        post.put.config.insert("user.a".into(), "1".into());
        post.put.profiles = Some(vec!["p1".into()]);
        let text = serde_json::to_string(&post).unwrap();
        assert_eq!(serde_json::from_str::<InstancesPost>(&text).unwrap(), post);
    }

    #[test]
    fn a_null_for_a_value_is_an_empty_one() {
        let text = r#"{"config":{"user.a":null},"devices":{"eth0":{"mtu":null}}}"#;
        let patch: InstancePatch = serde_json::from_str(text).unwrap();
        assert_eq!((patch.config["user.a"].as_str(), &*patch.devices["eth0"]["mtu"]), ("", ""));
    }

    #[test]
    fn an_exec_with_null_user_is_roots() {
        let text = r#"{"command":["id"],"user":null,"group":null,"cwd":null}"#;
        let exec: InstanceExecPost = serde_json::from_str(text).unwrap();
        assert_eq!((exec.user, exec.group, exec.cwd.as_str()), (0, 0, ""));
    }
}
