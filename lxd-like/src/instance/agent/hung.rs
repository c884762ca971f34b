//! An agent that does not leave when it is asked to.

use std::path::Path;
use std::time::Duration;

use sc_api::InstanceName;
use sc_sys::process::{open_pidfd, send_signal};
use sc_sys::reactor;
use sc_sys::unix::{Blocking, Seqpacket};
use tokio::io::Interest;

use super::SIGKILL;
use crate::error::{Context, Error, Result};

/// How long one that is killed may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills the agent of an instance that listens at `path`, and waits for its end.
///
/// # Errors
///
/// When nobody listens there any more; when whoever listens is not known to be an agent (one of an
/// earlier `sc` does not show its id); when the kernel holds it.
pub async fn kill(path: &Path, instance: &InstanceName) -> Result<()> {
    let peer = Seqpacket::connect(path, Blocking::No)
        .and_then(|socket| socket.peer())
        .context("ask for the agent's process id")?;
    let pidfd = open_pidfd(peer.pid).context("hold the agent")?;
    // Looked at while it is held: the id of one that has ended may be another's.
    let command = std::fs::read(format!("/proc/{}/cmdline", peer.pid)).unwrap_or_default();
    if command != format!("sc-agent\0{instance}\0").into_bytes() {
        let text = format!(
            "process {} listens in place of instance {instance}'s agent and is none: end it, then try again",
            peer.pid
        );
        return Err(Error::internal(text));
    }
    tracing::warn!(%instance, pid = peer.pid, "the agent does not leave: killing it");
    send_signal(&pidfd, SIGKILL).context("kill the agent")?;
    let pidfd = reactor::watch(pidfd, Interest::READABLE).context("wait for the agent's end")?;
    match tokio::time::timeout(PATIENCE, pidfd.readable()).await {
        Ok(_ended) => Ok(()),
        Err(_) => Err(Error::internal(format!("the kernel holds the agent, process {}", peer.pid))),
    }
}
