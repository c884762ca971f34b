//! What the store keeps: one document type a file of kin, and the intents of the journal.
//!
//! Documents hold what was asked for and what must outlive the daemon. What can be observed (pids,
//! addresses, usage) is never in here.

mod image;
mod instance;
mod intent;
mod network;
mod pool;
mod profile;

pub use image::{AliasRecord, ImageRecord, ImageUse};
pub use instance::{InstanceRecord, NicRecord};
pub use intent::{Intent, LinkPlan, RunPlan};
pub use network::NetworkRecord;
pub use pool::PoolRecord;
pub use profile::ProfileRecord;

/// The only project there is.
pub const PROJECT: &str = "default";

/// The profile that instances get when none is named.
pub const DEFAULT_PROFILE: &str = "default";
