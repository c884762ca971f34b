//! The API's socket: root's, and one group's.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::Group;
use tokio::net::{UnixListener, UnixSocket};

use crate::error::{Context, Error, Result};

/// How many may wait to be let in; the kernel has a limit of its own.
const BACKLOG: u32 = 4096;

/// Binds the socket; a stale one is replaced. The store's lock says that no other daemon has it.
pub fn bind(path: &Path, gid: Option<u32>) -> Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(format!("remove the stale socket {}", path.display()));
        }
        _ => {}
    }
    let socket = UnixSocket::new_stream().context("make a socket")?;
    socket.bind(path).context(format!("bind the socket {}", path.display()))?;
    let mode = if gid.is_some() { 0o660 } else { 0o600 };
    chown(path, None, gid).context(format!("give {} to its group", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .context(format!("set the mode of {}", path.display()))?;
    // Last: until then nobody can connect, whatever the mode that it was made with.
    socket.listen(BACKLOG).context(format!("listen on {}", path.display()))
}

/// The number of a group.
pub fn group_id(name: &str) -> Result<u32> {
    match Group::from_name(name).context(format!("look up the group {name}"))? {
        Some(group) => Ok(group.gid.as_raw()),
        None => Err(Error::invalid(format!("no group {name:?}: make it with groupadd {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_groups_alone_and_replaces_a_stale_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(bind(&path, None).unwrap());
        for (gid, mode) in [(None, 0o600), (Some(nix::unistd::getgid().as_raw()), 0o660)] {
            let _listener = bind(&path, gid).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
            tokio::net::UnixStream::connect(&path).await.unwrap();
        }
    }
}
