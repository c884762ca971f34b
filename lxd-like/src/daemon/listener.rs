//! The API's socket: root's, and one group's.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::Group;
use tokio::net::UnixListener;

use crate::error::{Context, Error, Result};

/// Binds the socket; a stale one is replaced. The store's lock says that no other daemon has it.
pub fn bind(path: &Path, gid: Option<u32>) -> Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(format!("remove the stale socket {}", path.display()));
        }
        _ => {}
    }
    // Closed to others from its first moment: the mode is set before anyone may connect.
    let listener = std::os::unix::net::UnixListener::bind(path)
        .context(format!("bind the socket {}", path.display()))?;
    let mode = if gid.is_some() { 0o660 } else { 0o600 };
    chown(path, None, gid).context(format!("give {} to its group", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .context(format!("set the mode of {}", path.display()))?;
    listener.set_nonblocking(true).context("make the socket non-blocking")?;
    UnixListener::from_std(listener).context("watch the socket")
}

/// The number of a group.
pub fn group_id(name: &str) -> Result<u32> {
    match Group::from_name(name).context(format!("look up the group {name}"))? {
        Some(group) => Ok(group.gid.as_raw()),
        None => Err(Error::invalid(format!("no group {name:?}: make it with groupadd {name}"))),
    }
}
