//! The task that reads what an agent says.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use sc_agent_protocol::{Event, Packet, Reply, Request, ToAgent, ToDaemon};
use sc_sys::unix::{Message, Seqpacket};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{AgentEvent, Answer, Shared, lock};
use crate::error::chain;

/// The number of requests whose answer nobody waits for.
const UNASKED: u64 = 0;

/// Reads until the socket ends or `stop` is cancelled.
pub(super) async fn read(
    socket: Arc<AsyncFd<Seqpacket>>,
    shared: Arc<Mutex<Shared>>,
    events: mpsc::UnboundedSender<AgentEvent>,
    stop: CancellationToken,
) {
    loop {
        let packet = tokio::select! {
            packet = receive(&socket) => packet,
            () = stop.cancelled() => return,
        };
        match packet {
            Some((ToDaemon::Reply(id, reply), fds)) => {
                if let Some(exec) = deliver(&shared, id, reply, fds) {
                    tokio::spawn(hang_up(socket.clone(), exec));
                }
            }
            Some((ToDaemon::Event(Event::ExecExited { exec, status }), _)) => {
                let exit = lock(&shared).as_mut().and_then(|waiting| waiting.exits.remove(&exec));
                // Whoever waited may have given up.
                exit.map(|exit| exit.send(status));
            }
            Some((ToDaemon::Event(Event::NamespacesReady), mut fds)) => {
                if let Some(netns) = fds.pop() {
                    let _ = events.send(AgentEvent::NamespacesReady(netns));
                }
            }
            Some((ToDaemon::Event(event), _)) => {
                let _ = events.send(AgentEvent::Event(event));
            }
            None => break,
        }
    }
    // Dropping the senders fails every waiter.
    *lock(&shared) = None;
    let _ = events.send(AgentEvent::Gone);
}

/// The next packet; `None` at the socket's end. What cannot be read is logged and passed over, as
/// it may come from a newer agent.
async fn receive(socket: &AsyncFd<Seqpacket>) -> Option<(ToDaemon, Vec<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await.ok()?;
        match ready.try_io(|socket| Ok(socket.get_ref().receive()?)) {
            Ok(Ok(Some(Message { bytes, descriptors }))) => match ToDaemon::decode(&bytes) {
                Ok(packet) => return Some((packet, descriptors)),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "unreadable message from an agent")
                }
            },
            Ok(Ok(None)) => return None,
            // It left with something of ours unread. What it said before is still to come, and then the end.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "read what an agent says");
                return None;
            }
            Err(_would_block) => {}
        }
    }
}

/// Hands a reply to whoever waits for it. Returns the program that was started for somebody who does
/// not wait any more.
fn deliver(shared: &Mutex<Shared>, id: u64, reply: Reply, fds: Vec<OwnedFd>) -> Option<u64> {
    let mut guard = lock(shared);
    let waiting = guard.as_mut()?;
    let started = match reply {
        Reply::ExecStarted { exec, .. } => Some(exec),
        _ => None,
    };
    let exit = started.map(|exec| {
        let (sender, receiver) = oneshot::channel();
        waiting.exits.insert(exec, sender);
        receiver
    });
    let waiter = waiting.replies.remove(&id);
    let answer = Answer { reply, fds, exit };
    let delivered = waiter.is_some_and(|waiter| waiter.send(answer).is_ok());
    started.filter(|_| !delivered).inspect(|exec| drop(waiting.exits.remove(exec)))
}

/// Ends a program that nobody has. The answer is nobody's, too.
async fn hang_up(socket: Arc<AsyncFd<Seqpacket>>, exec: u64) {
    let packet = ToAgent { id: UNASKED, request: Request::HangUp { exec } }.encode();
    let sent = tokio::time::timeout(super::PATIENCE, super::send(&socket, &packet, &[])).await;
    if let Ok(Err(error)) = sent {
        tracing::warn!(error = %error.chain(), exec, "hang up a program that nobody waits for");
    }
}
