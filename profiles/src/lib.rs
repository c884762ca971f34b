//! What an instance's configuration may hold, what it comes to, and what a change of it needs.
//!
//! ```text
//! profiles, in order --+                       +--> Effective: typed, what a start needs
//! instance's own ------+--> expand --> allow --+
//!                                              +--> Error: which key, and why
//!
//! Effective before, Effective after --> diff --> live changes, at next start, refused
//! ```
//!
//! One table ([`keys`]) knows every configuration key of LXD and Incus: its type, its default,
//! when a change takes effect, and whether it is honoured. A key is honoured or refused by name,
//! never ignored. Every way in (create, edit, patch, copy, rebuild, restore, import, profile)
//! goes through [`check_instance`] or [`check_profile`]; the API's documentation and the command
//! line's help come from the same table. All of it is pure.
#![warn(missing_docs)]

mod boot;
mod check;
mod cpuset;
mod device;
mod diff;
mod docs;
mod effective;
mod error;
mod key;
mod merge;
mod table;
mod value;
mod volatile;

pub use boot::Boot;
pub use check::{Origin, check_instance, check_profile, known};
pub use cpuset::CpuSet;
pub use device::{Device, DeviceKey, DeviceKind, Disk, Nic, RootDisk, device_kinds};
pub use diff::{Change, Diff, Refusal, diff};
pub use docs::docs;
pub use effective::{CpuLimit, Effective, Limits, MemoryLimit};
pub use error::Error;
pub use key::{Applies, Key, Scope, Status, find, keys};
pub use merge::{Layer, Settings, expand};
pub use value::{Kind, parse_bool};
pub use volatile::{drop_records, keep_volatile};
