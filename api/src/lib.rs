//! The wire types of the REST API, which is LXD's `/1.0` as LXD 5.0 and Incus 6.0 share it.
//!
//! One resource a file, each with what is read (`Thing`), what creates it (`ThingsPost`) and what
//! replaces it (`ThingPut`). The field names are the API's own. Names and sizes are parsed once,
//! at the edge, into types that cannot hold a bad one.
//!
//! Requests accept unknown fields: real clients send whole objects back, read-only fields
//! included.
#![warn(missing_docs)]

mod error;
mod event;
pub mod exec;
mod image;
mod instance;
mod name;
mod nearest;
mod network;
mod operation;
mod parts;
mod profile;
mod read;
mod recipe;
mod response;
mod server;
mod shown;
mod size;
mod state;
mod status;
mod storage;

pub use error::ErrorKind;
pub use event::{Event, EventType, Lifecycle};
pub use image::{
    Image, ImageAlias, ImageAliasPut, ImageAliasesPost, ImagePut, ImageSource, ImagesPost, NewAlias,
};
pub use instance::{
    Instance, InstanceConsolePost, InstanceExecPost, InstancePatch, InstancePut, InstanceSource,
    InstanceStatePut, InstanceType, InstancesPost, StateAction,
};
pub use name::{AliasName, InstanceName, NameError, NetworkName, PoolName, ProfileName};
pub use nearest::nearest;
pub use network::{Network, NetworkLease, NetworkState, NetworksPost};
pub use operation::{Operation, OperationClass, Progress};
pub use parts::InstanceParts;
pub use profile::{Profile, ProfilePatch, ProfilePut, ProfilesPost};
pub use read::{null_default, texts};
pub use recipe::Recipe;
pub use response::{Envelope, ResponseType};
pub use server::{Environment, Server, ServerPut};
pub use shown::{plain, quoted, with_room, without_os_errors};
pub use size::{ByteSize, SizeError};
pub use state::{
    AddressFamily, CpuUsage, DiskUsage, InstanceState, MemoryUsage, NetworkAddress,
    NetworkCounters, NetworkInterfaceState,
};
pub use status::StatusCode;
pub use storage::{
    POOL_DRIVERS, POOL_KEYS, PoolResources, PoolSpace, StoragePool, StoragePoolsPost,
};

use std::collections::BTreeMap;

/// A `config` object: keys to values, both text.
pub type ConfigMap = BTreeMap<String, String>;

/// A `devices` object: device names to their keys.
pub type DeviceMap = BTreeMap<String, ConfigMap>;

/// A moment, written as RFC 3339 in UTC.
pub type Timestamp = jiff::Timestamp;

/// The moment that the API writes where there is none: `0001-01-01T00:00:00Z`, as Go writes its
/// zero time.
pub fn no_time() -> Timestamp {
    "0001-01-01T00:00:00Z".parse().expect("a valid timestamp")
}
