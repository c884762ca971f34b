//! The only caller of rtnetlink: interfaces, addresses, routes.

mod address;
mod device;
mod dump;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage,
};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::{Mac, NetworkError, Result};

pub use device::{Counters, Device};

/// A long-lived netlink handle, cheap to clone. It acts on the network namespace of the thread that
/// opened it.
#[derive(Clone)]
pub struct Links {
    connection: Arc<std::sync::Mutex<Connection>>,
    /// Whose list it is that the socket brings.
    turn: Arc<Mutex<()>>,
}

/// A socket, and the task that drives it, which ends with the last handle. It ends early when a call on the
/// socket fails, as for want of memory for all that the kernel has to tell.
struct Connection {
    handle: Handle,
    task: AbortHandle,
    /// Set before anybody hears that a request has failed.
    ended: Arc<AtomicBool>,
}

impl Connection {
    fn open() -> Result<Self> {
        let (mut connection, handle, _) = rtnetlink::new_connection().map_err(|source| {
            NetworkError::Netlink { op: "open", object: "route netlink socket".to_owned(), source }
        })?;
        // The end of a list may say that it has changed.
        connection.set_forward_done(true);
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let task = tokio::spawn(async move {
            (&mut connection).await;
            end.store(true, Ordering::Release);
            // With it go the requests that are under way.
            drop(connection);
        });
        Ok(Self { handle, task: task.abort_handle(), ended })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A veth pair to make.
#[derive(Debug)]
pub struct Veth<'a> {
    /// The name of the end that stays.
    pub host_name: &'a str,
    /// The name of the other end.
    pub guest_name: &'a str,
    /// The other end's hardware address.
    pub mac: Mac,
    /// In bytes, of both ends.
    pub mtu: u32,
    /// The bridge's index.
    pub bridge: u32,
    /// The group of the end that stays.
    pub group: u32,
}

impl Links {
    /// Opens a socket in the calling thread's network namespace. Must be called inside a tokio
    /// runtime, which then drives it.
    pub fn new() -> Result<Self> {
        let connection = Arc::new(std::sync::Mutex::new(Connection::open()?));
        Ok(Self { connection, turn: Arc::default() })
    }

    /// A handle to a socket that works. One that has failed is replaced.
    fn handle(&self) -> Handle {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.ended.load(Ordering::Acquire) {
            match Connection::open() {
                Ok(new) => *connection = new,
                // The request will fail, and the next one tries again.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "open another netlink socket");
                }
            }
        }
        connection.handle.clone()
    }

    /// Makes a bridge, down, without spanning tree. Its hardware address is set in the same request,
    /// so that it never exists without: that is how it is told from a bridge of someone else.
    pub async fn create_bridge(&self, name: &str, mac: Mac, mtu: u32) -> Result<()> {
        let message = LinkMessageBuilder::<LinkBridge>::new(name)
            .append_info_data(InfoBridge::StpState(BridgeStpState::Disabled))
            .address(mac.0.to_vec())
            .mtu(mtu)
            .build();
        self.handle().link().add(message).execute().await.map_err(failed("create bridge", name))
    }

    /// Makes a veth pair whose one end is a port of a bridge and whose other end is born in the
    /// network namespace `netns`; both are down.
    pub async fn create_veth(&self, veth: &Veth<'_>, netns: BorrowedFd<'_>) -> Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::default()
            .name(veth.guest_name)
            .address(veth.mac.0.to_vec())
            .mtu(veth.mtu)
            .setns_by_fd(netns.as_raw_fd())
            .build();
        let message = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(veth.host_name)
            .mtu(veth.mtu)
            .controller(veth.bridge)
            .link_group(veth.group)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        self.add(message).await.map_err(failed("create interface", veth.host_name))
    }

    async fn add(&self, message: LinkMessage) -> Result<(), rtnetlink::Error> {
        self.handle().link().add(message).execute().await
    }

    /// Brings an interface up.
    pub async fn set_up(&self, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_name(name).up().build();
        self.handle().link().set(message).execute().await.map_err(failed("bring up", name))
    }

    /// Makes an interface a port of a bridge, both by their index.
    pub async fn plug(&self, index: u32, name: &str, bridge: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).controller(bridge).build();
        self.handle().link().set(message).execute().await.map_err(failed("plug in", name))
    }

    /// Sets an interface's size of packets, in bytes.
    pub async fn set_mtu(&self, name: &str, mtu: u32) -> Result<()> {
        let message = LinkUnspec::new_with_name(name).mtu(mtu).build();
        self.handle().link().set(message).execute().await.map_err(failed("set mtu of", name))
    }

    /// Notes a text with an interface, of at most 255 bytes.
    pub async fn set_alias(&self, name: &str, alias: &str) -> Result<()> {
        let alias = LinkAttribute::IfAlias(alias.to_owned());
        let message = LinkUnspec::new_with_name(name).append_extra_attribute(alias).build();
        self.handle().link().set(message).execute().await.map_err(failed("set alias of", name))
    }

    /// Takes an interface away; one that is not there is no error.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_name(name).build();
        let deleted = self.handle().link().del_with_message(message).execute().await;
        match deleted.map_err(failed("delete interface", name)) {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }
}

/// Turns rtnetlink's error into ours.
fn failed(op: &'static str, object: &str) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
    let object = object.to_owned();
    move |error| {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            rtnetlink::Error::RequestFailed => io::Error::other("the netlink socket has failed"),
            other => io::Error::other(other.to_string()),
        };
        NetworkError::Netlink { op, object, source }
    }
}

#[cfg(test)]
mod tests;
