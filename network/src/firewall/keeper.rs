//! Keeps a network's rules in the kernel, whatever others do to theirs.
//!
//! ```text
//!   a change of any table ──> a moment's pause ──> look ──┬─> all is as it should be
//!         (told by the kernel)                            └─> put in anew
//! ```
//!
//! So a Docker that starts, restarts or flushes its rules, an `iptables --policy FORWARD DROP` and an
//! `nft flush ruleset` (which is how Debian's nftables.service begins) cut guests off for a moment at
//! most. Nothing is asked of the kernel as long as nobody changes a rule.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::others::Standing;
use super::{apply, look};
use crate::watched::readable;
use crate::{BridgeConfig, Context, NetworkError, Result};

/// The group of netlink listeners that hear of tables, chains and rules: number 7, as a bit.
const NFTABLES: u32 = 1 << 6;

/// Changes come in bursts: the first look is this long after the first of them.
const MOMENT: Duration = Duration::from_millis(50);

/// The pause between two looks, for a host whose rules change all the time.
const PAUSE: Duration = Duration::from_millis(500);

/// The largest part of the kernel's report that is read at once.
const REPORT: usize = 32 << 10;

/// What the kernel tells of changes of the rules.
struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Listens from now on, in the calling thread's network namespace.
    fn listen() -> Result<Self> {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let protocol = Some(netlink::NETFILTER);
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
            bind(&socket, &SocketAddrNetlink::new(0, NFTABLES))?;
            readable(socket)
        };
        open().map(Self).map_err(|source| NetworkError::Netlink {
            op: "open",
            object: "netfilter netlink socket".to_owned(),
            source,
        })
    }

    /// Returns once a table, a chain or a rule has changed.
    async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(changed) = ready.try_io(|fd| Ok(read(fd.get_ref())?))
                && changed?
            {
                return Ok(());
            }
        }
    }

    /// Forgets what has come up to now.
    fn drain(&self) {
        while read(self.0.get_ref()).is_ok() {}
    }
}

/// Reads one report; whether it tells of a change that counts. The kernel had more to say than it could
/// keep: that counts too.
fn read(socket: &OwnedFd) -> rustix::io::Result<bool> {
    let mut report = vec![0; REPORT];
    match recv(socket, &mut report[..], RecvFlags::empty()) {
        Ok((_, length)) => Ok(tells_of_rules(&report[..length.min(REPORT)])),
        Err(rustix::io::Errno::NOBUFS) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether one of the messages in a report is about a table, a chain or a rule (and none of those about
/// elements of sets, which can be many).
fn tells_of_rules(mut report: &[u8]) -> bool {
    const HEADER: usize = 16;
    /// `NFT_MSG_NEWTABLE` to `NFT_MSG_DELRULE`.
    const RULES: std::ops::RangeInclusive<u8> = 0..=8;
    while let Some(header) = report.first_chunk::<HEADER>() {
        if RULES.contains(&header[4]) {
            return true;
        }
        let [a, b, c, d, ..] = *header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        // Each message begins at a multiple of four.
        let Some(rest) = report.get(length.max(HEADER).next_multiple_of(4)..) else { return false };
        report = rest;
    }
    false
}

/// Keeps a network's rules in place until it is stopped. Dropping it leaves the rules as they are.
pub(crate) struct Keeper {
    /// Its end is the task's.
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Puts a network's rules in, and keeps them there from then on.
    pub async fn start(config: Arc<BridgeConfig>, context: Context) -> Result<Self> {
        // First, so that no change is missed.
        let changes = Changes::listen();
        let standing = apply(&config, &context).await?;
        standing.tell(&config.name);
        let (leave, left) = oneshot::channel();
        let task = tokio::spawn(async move {
            match changes {
                Ok(changes) => keep(&config, &context, standing, &changes, left).await,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(network = config.name, error, "rules are not watched");
                }
            }
        });
        Ok(Self { leave, task })
    }

    /// Ends it; when this returns, it puts nothing in any more.
    pub async fn stop(self) {
        drop(self.leave);
        // A panic of the task has been told already.
        let _ = self.task.await;
    }
}

async fn keep(
    config: &BridgeConfig,
    context: &Context,
    mut standing: Standing,
    changes: &Changes,
    mut left: oneshot::Receiver<()>,
) {
    loop {
        let changed = async {
            changes.next().await?;
            tokio::time::sleep(MOMENT).await;
            changes.drain();
            Ok::<_, io::Error>(())
        };
        tokio::select! {
            _ = &mut left => return,
            changed = changed => if let Err(error) = changed {
                tracing::warn!(network = config.name, %error, "rules are not watched any more");
                return;
            },
        }
        if let Err(error) = settle(config, context, &mut standing).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(network = config.name, error, "rules could not be put in again");
        }
        tokio::select! {
            _ = &mut left => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Puts the network's rules in again if they are not what they should be.
async fn settle(config: &BridgeConfig, context: &Context, standing: &mut Standing) -> Result<()> {
    // What cannot be read would be put in for ever, as that is a change itself.
    let Some(seen) = look(&config.name, context).await? else { return Ok(()) };
    if standing.holds(config, &seen) {
        return Ok(());
    }
    let now = apply(config, context).await?;
    tracing::info!(
        network = config.name,
        "the host's rules have changed: the network's are put in again"
    );
    if now != *standing {
        now.tell(&config.name);
    }
    *standing = now;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: usize) -> Vec<u8> {
        let mut message = vec![0; (16 + body).next_multiple_of(4)];
        message[..4].copy_from_slice(&u32::try_from(16 + body).unwrap().to_ne_bytes());
        (message[4], message[5]) = (kind, 10);
        message
    }

    #[test]
    fn a_rule_among_elements_of_sets_is_a_change_and_those_alone_are_none() {
        let (element, generation, rule) = (message(12, 33), message(15, 4), message(6, 20));
        assert!(!tells_of_rules(&[element.clone(), generation.clone()].concat()));
        assert!(tells_of_rules(&[element, rule, generation].concat()));
        assert!(!tells_of_rules(b"cut"));
    }
}
