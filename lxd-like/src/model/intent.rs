//! The intents of the journal: what is written before the outside world is touched, and holds all
//! that is needed to finish it or take it back.

use std::path::PathBuf;

use sc_api::{InstanceName, NetworkName, PoolName, Timestamp};
use serde::{Deserialize, Serialize};

/// Something that is under way outside, or stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// An instance's volume is being made. Undone: the volume and the record go.
    Create { instance: InstanceName, pool: PoolName },
    /// An instance runs, or is being started or taken down. Pending for as long as anything of it
    /// stands outside: a new daemon takes the run up again where its agent lives, else clears up.
    Run(RunPlan),
    /// An instance is being stopped to be started again. Finished: it is started.
    Restart { instance: InstanceName },
    /// An instance is being deleted. Finished: the volume and the record go.
    Delete { instance: InstanceName, pool: PoolName },
    /// An instance was deleted while its pool could not be used. Finished when the pool can be: its
    /// volume goes.
    DropVolume { instance: InstanceName, pool: PoolName },
    /// An image's layer is being made in a pool. Undone by the pool's own sweep.
    UnpackImage { fingerprint: String, pool: PoolName },
    /// An image's files and layers are being deleted. Finished, unless it was imported again since:
    /// `uploaded_at` tells one from the other.
    DeleteImage {
        fingerprint: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uploaded_at: Option<Timestamp>,
    },
    /// A network is being made. Undone.
    CreateNetwork { network: NetworkName },
    /// A network is being deleted. Finished.
    DeleteNetwork { network: NetworkName },
    /// A pool is being made. Undone where the folder was made by us.
    CreatePool { pool: PoolName, path: PathBuf },
    /// A pool is being deleted. Finished.
    DeletePool { pool: PoolName, path: PathBuf },
}

/// Everything that one run of an instance puts outside, by name, chosen before the first of it is
/// made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlan {
    pub instance: InstanceName,
    /// The boot of the host that it belongs to: another boot has left nothing of it.
    pub boot_id: String,
    /// Names the run's socket, exit record and cgroup; within a boot no other run has it of which anything is
    /// left.
    pub run: u64,
    /// The first id of its range.
    pub id_base: u32,
    /// Host-side link names, with the device and network they belong to.
    pub links: Vec<LinkPlan>,
}

/// One host-side link of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlan {
    pub device: String,
    pub network: NetworkName,
    pub host_name: String,
    pub guest_name: String,
}

impl RunPlan {
    /// The name of the run's cgroup.
    pub fn cgroup(&self) -> String {
        format!("{}-{}", self.instance, self.run)
    }
}
