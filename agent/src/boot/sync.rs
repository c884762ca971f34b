//! What the agent and the process that becomes PID 1 tell each other, over a socket pair that closes
//! when init is executed.
//!
//! ```text
//! agent                                starter              PID 1
//!  | fork ------------------------------> |
//!  |                                      | enters v1 cgroups
//!  | Enter, namespaces -----------------> | enters them
//!  | <---------------------------- Cloned | clone3 ----------> |
//!  |                                      x                    | mounts, devices, console
//!  | <-------------------- Prepared, devpts, console's master  |
//!  | Go -----------------------------------------------------> |
//!  |                                                           | execve
//!  | <---------------------------------- end of file ......... x
//! ```
//!
//! `Failed` may come at any point in place of the next message.

use std::os::fd::{BorrowedFd, OwnedFd};

use sc_agent_protocol::{BootFailure, CgroupView};
use sc_sys::Result;
use sc_sys::unix::Seqpacket;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the agent tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// Everything is mounted: enter the user namespace (first descriptor) and the network namespace (second).
    Enter(Entry),
    /// The NICs are plugged in: execute init.
    Go,
}

/// How PID 1 is to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The cgroup tree that the guest sees.
    pub view: CgroupView,
    /// Whether the console becomes init's controlling terminal.
    pub controlling_terminal: bool,
    /// Whether the seed files are written: at the first boot only, since later ones would undo what the
    /// guest has changed.
    pub seed: bool,
}

/// What is told to the agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// PID 1 was cloned, with this pid in the agent's pid namespace.
    Cloned(i32),
    /// Everything is set up inside. Two descriptors: the root of the guest's devpts, the console's master.
    Prepared,
    /// A step failed; who says so has ended.
    Failed(BootFailure),
}

/// Sends a message.
pub(crate) fn send<T: Serialize>(
    socket: &Seqpacket,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let bytes = serde_json::to_vec(message).expect("these messages serialise");
    socket.send(&bytes, descriptors)
}

/// Receives a message; `None` at the end.
///
/// # Errors
///
/// Invalid for bytes that are no such message: only a broken agent sends them.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: &Seqpacket,
) -> Result<Option<(T, Vec<OwnedFd>)>> {
    let Some(message) = socket.receive()? else { return Ok(None) };
    let value = serde_json::from_slice(&message.bytes).map_err(|error| {
        let kind = std::io::ErrorKind::InvalidData;
        sc_sys::SysError::message("read", "boot message", kind, error.to_string())
    })?;
    Ok(Some((value, message.descriptors)))
}
