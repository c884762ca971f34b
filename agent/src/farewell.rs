//! The last word of an agent that cannot begin: without it the daemon would only see that it is gone.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use sc_agent_protocol::{BootFailure, Packet, Reply, ToAgent, ToDaemon};
use sc_sys::unix::{Blocking, Listener, Seqpacket};

/// How long a daemon is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers the first request that comes with this failure, whichever it is.
pub(crate) fn tell(listener: OwnedFd, failure: &BootFailure) {
    let until = Instant::now() + PATIENCE;
    let listener = Listener::take_over(listener);
    while is_readable(&listener, until) {
        // Who only looks whether somebody listens has gone by now.
        if let Ok(socket) = listener.accept(Blocking::Yes)
            && answer(&socket, failure, until).is_some()
        {
            return;
        }
    }
}

fn answer(socket: &Seqpacket, failure: &BootFailure, until: Instant) -> Option<()> {
    if !is_readable(socket, until) {
        return None;
    }
    let request = ToAgent::decode(&socket.receive().ok()??.bytes).ok()?;
    let reply = ToDaemon::Reply(request.id, Reply::Failed(failure.clone()));
    socket.send(&reply.encode(), &[]).ok()
}

fn is_readable(fd: impl AsFd, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).ok();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, left.as_ref()).is_ok_and(|ready| ready > 0)
}
