//! The daemon's end of the conversation with one agent.
//!
//! One task reads the socket: replies go to whoever waits for them, events to the instance's
//! owner task. Any number of tasks may ask at once. When the socket ends, the agent has ended,
//! and with it the guest: every waiter fails and the owner hears [`AgentEvent::Gone`].

mod failure;
mod hung;
mod reader;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_agent_protocol::{
    Event, ExecRequest, Interface, MAX_MESSAGE, Packet, Phase, Reply, Request, ToAgent, WindowSize,
};
use sc_api::ErrorKind;
use sc_sys::unix::{Blocking, Seqpacket};
use sc_sys::{memfd, reactor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use failure::{boot_failure, shown};
use failure::{exec_failure, gone, unexpected};
pub(super) use hung::kill;

use crate::error::{Context, Error, Result};

const SIGKILL: i32 = 9;

/// What the owner task hears of its agent.
#[derive(Debug)]
pub enum AgentEvent {
    /// The network namespace, before the first boot.
    NamespacesReady(OwnedFd),
    /// Any other event.
    Event(Event),
    /// The socket has ended, and so has the agent.
    Gone,
}

/// How long an agent may take to answer. All that it does at once is quick; a guest's programs are
/// never waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before an agent that has refused a connection is greeted again.
pub(super) const GREETING_PAUSE: Duration = Duration::from_millis(100);

/// A connection to an agent.
#[derive(Debug)]
pub struct AgentLink {
    path: PathBuf,
    socket: Arc<AsyncFd<Seqpacket>>,
    next: AtomicU64,
    shared: Arc<Mutex<Shared>>,
    _reader: DropGuard,
}

/// A program that runs inside.
#[derive(Debug)]
pub struct RunningExec {
    /// Names it towards the agent.
    pub id: u64,
    /// Its exit status, or 128 plus the signal's number; fails when the agent ends first.
    pub exit: oneshot::Receiver<i32>,
    /// Its terminal's master side, where it has a terminal.
    pub terminal: Option<OwnedFd>,
}

/// A reply with what came along.
#[derive(Debug)]
struct Answer {
    reply: Reply,
    fds: Vec<OwnedFd>,
    /// Set for `ExecStarted`: made by the reader, so that an exit right behind is not missed.
    exit: Option<oneshot::Receiver<i32>>,
}

/// What waits for the reader; `None` once the socket has ended.
#[derive(Debug)]
struct Waiting {
    replies: HashMap<u64, oneshot::Sender<Answer>>,
    exits: HashMap<u64, oneshot::Sender<i32>>,
}

type Shared = Option<Waiting>;

impl AgentLink {
    /// Connects to the agent that listens at `path` and greets it. Returns the link, where the
    /// instance is, and the events from now on.
    pub async fn connect(
        path: &Path,
    ) -> Result<(Self, Phase, mpsc::UnboundedReceiver<AgentEvent>)> {
        let socket =
            Seqpacket::connect(path, Blocking::No).context("connect to the instance's agent")?;
        let socket = reactor::watch(socket, Interest::READABLE | Interest::WRITABLE)
            .context("watch the agent's socket")?;
        let socket = Arc::new(socket);
        let waiting = Waiting { replies: HashMap::new(), exits: HashMap::new() };
        let shared = Arc::new(Mutex::new(Some(waiting)));
        let (events, receiver) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        tokio::spawn(reader::read(socket.clone(), shared.clone(), events, stop.clone()));
        let path = path.to_owned();
        let link =
            Self { path, socket, next: AtomicU64::new(1), shared, _reader: stop.drop_guard() };
        let hello = Request::Hello { version: sc_agent_protocol::PROTOCOL_VERSION };
        match link.ask(hello, &[]).await?.reply {
            Reply::Welcome { phase, .. } => Ok((link, phase, receiver)),
            other => Err(unexpected("greet the agent", &other)),
        }
    }

    /// Whether its agent has gone, and with it the guest, whatever has become of this connection.
    pub fn agent_has_gone(&self) -> bool {
        Self::has_gone(&self.path)
    }

    /// Whether it is sure that no agent listens at `path`. It is not where the daemon is short of memory
    /// or descriptors, or the agent has more callers than it takes: no guest may die of that.
    pub fn has_gone(path: &Path) -> bool {
        let gone = |error: sc_sys::SysError| {
            use std::io::ErrorKind::{ConnectionRefused, NotFound};
            matches!(error.io().kind(), ConnectionRefused | NotFound)
        };
        Seqpacket::connect(path, Blocking::No).is_err_and(gone)
    }

    /// Whether the connection has ended; its owner then finds out what has become of the agent.
    pub fn has_ended(&self) -> bool {
        lock(&self.shared).is_none()
    }

    /// Lets init run.
    pub async fn boot(&self) -> Result<()> {
        self.done("boot", Request::Boot).await
    }

    /// Asks init to stop.
    pub async fn stop(&self) -> Result<()> {
        self.done("stop", Request::Stop { signal: None }).await
    }

    /// Ends the agent and with it the guest. An agent that is gone already is fine.
    pub async fn quit(&self) {
        let _ = self.ask(Request::Quit, &[]).await;
    }

    /// Starts a program inside; `fds` are its stdin, stdout and stderr unless it has a terminal.
    pub async fn exec(&self, request: ExecRequest, fds: &[BorrowedFd<'_>]) -> Result<RunningExec> {
        let program = request.command.first().cloned().unwrap_or_default();
        let asked = if fits_in_message(&request) {
            self.ask(Request::Exec(request), fds).await
        } else {
            self.ask_by_file(request, fds).await
        };
        let inside = |error: Error| error.within(format!("start {} inside", shown(&program)));
        let mut answer = asked.map_err(inside)?;
        match answer.reply {
            Reply::ExecStarted { exec, .. } => Ok(RunningExec {
                id: exec,
                exit: answer.exit.expect("the reader adds it to every ExecStarted"),
                terminal: answer.fds.pop(),
            }),
            Reply::ExecFailed { step, errno } => Err(exec_failure(&program, &step, errno)),
            // Its guest has ended in its first moments, and it is about to.
            Reply::Failed(failure) => Err(Error::internal(boot_failure(&failure).chain())),
            other => Err(unexpected("start a program inside", &other)),
        }
    }

    /// As [`exec`](Self::exec), with command and environment in a file.
    async fn ask_by_file(
        &self,
        mut request: ExecRequest,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answer> {
        let words = serde_json::to_vec(&request.take_words()).expect("texts serialise");
        let file = memfd::sealed("exec", &words, memfd::Content::Data)
            .context("hand the command to the instance's agent")?;
        let fds: Vec<_> = fds.iter().copied().chain([file.as_fd()]).collect();
        let answer = self.ask(Request::ExecFile(request), &fds).await?;
        if answer.reply == Reply::Unsupported {
            let text = format!(
                "{} bytes of command and environment: the instance was started \
                 by an older sc, which takes {MAX_MESSAGE}: restart it, or hand them over in a file",
                words.len()
            );
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        Ok(answer)
    }

    /// Sends a signal to a program started by [`exec`](Self::exec).
    pub async fn signal(&self, exec: u64, signal: i32) -> Result<()> {
        self.done("signal a program inside", Request::Signal { exec, signal }).await
    }

    /// Tells a program that its client has gone; it ends within seconds.
    pub async fn hang_up(&self, exec: u64) -> Result<()> {
        match self.ask(Request::HangUp { exec }, &[]).await?.reply {
            // An agent of before can do no better.
            Reply::Unsupported => self.signal(exec, SIGKILL).await,
            _done_or_ended => Ok(()),
        }
    }

    /// Attaches to the console.
    pub async fn console(&self, size: Option<WindowSize>, force: bool) -> Result<OwnedFd> {
        let mut answer = self.ask(Request::Console { size, force }, &[]).await?;
        match (answer.reply, answer.fds.pop()) {
            (Reply::Console, Some(stream)) => Ok(stream),
            (Reply::ConsoleBusy, _) => Err(Error::internal(
                "This console is already connected. Force is required to take it over (--force).",
            )),
            (other, _) => Err(unexpected("attach to the console", &other)),
        }
    }

    /// Gives the console another size.
    pub async fn resize_console(&self, size: WindowSize) -> Result<()> {
        self.done("give the console another size", Request::ConsoleResize(size)).await
    }

    /// The guest's interfaces as they are.
    pub async fn interfaces(&self) -> Result<Vec<Interface>> {
        match self.ask(Request::Interfaces, &[]).await?.reply {
            Reply::Interfaces(interfaces) => Ok(interfaces),
            other => Err(unexpected("ask for the interfaces", &other)),
        }
    }

    /// Whether the guest, which was booted before, is between two boots of its own.
    pub async fn is_rebooting(&self) -> bool {
        // One more boot is not due, and answered by where the guest is.
        let asked = self.ask(Request::Boot, &[]).await;
        asked.is_ok_and(|answer| matches!(answer.reply, Reply::WrongPhase(Phase::Booting)))
    }

    async fn done(&self, what: &'static str, request: Request) -> Result<()> {
        match self.ask(request, &[]).await?.reply {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(boot_failure(&failure)),
            other => Err(unexpected(what, &other)),
        }
    }

    async fn ask(&self, request: Request, fds: &[BorrowedFd<'_>]) -> Result<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match &mut *lock(&self.shared) {
            Some(waiting) => waiting.replies.insert(id, sender),
            None => return Err(gone()),
        };
        let _forgotten = Forgotten { shared: &self.shared, id };
        let packet = ToAgent { id, request }.encode();
        let answered = async {
            send(&self.socket, &packet, fds).await?;
            receiver.await.map_err(|_| gone())
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            let text = format!("the instance's agent does not answer within {seconds} seconds");
            Err(Error::new(ErrorKind::Unavailable, text))
        })
    }
}

/// Sends a packet, when the agent takes one.
async fn send(socket: &AsyncFd<Seqpacket>, packet: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    loop {
        let mut ready = socket.writable().await.context("wait for the agent's socket")?;
        match ready.try_io(|socket| Ok(socket.get_ref().send(packet, fds)?)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if is_end(&error) => return Err(gone()),
            Ok(Err(error)) => return Err(error).context("ask the instance's agent"),
            Err(_would_block) => {}
        }
    }
}

/// A question: when nobody waits for its answer any more, it is in nobody's list.
struct Forgotten<'l> {
    shared: &'l Mutex<Shared>,
    id: u64,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *lock(self.shared) {
            waiting.replies.remove(&self.id);
        }
    }
}

/// Whether an error only says that the other end is closed.
fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset)
}

/// Whether a request fits in a message, with what goes around it.
fn fits_in_message(request: &ExecRequest) -> bool {
    const AROUND: usize = 256;
    /// What a byte of text takes in JSON at most, with quotes and comma counted as a byte.
    const EXPANDED: usize = 6;
    let variables = request.environment.iter().flat_map(|(name, value)| [name, value]);
    let texts = request.command.iter().chain(variables).chain(&request.cwd);
    let length: usize = texts.map(|text| text.len() + 1).sum();
    // Nearly all are so short that they need not be written out for it.
    length * EXPANDED + AROUND <= MAX_MESSAGE
        || serde_json::to_vec(request).expect("texts serialise").len() + AROUND <= MAX_MESSAGE
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().expect("no panic while the waiters are locked")
}

#[cfg(test)]
mod tests {
    use sc_sys::unix::Listener;

    use super::*;

    #[test]
    fn only_an_agent_that_listens_no_more_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        assert!(AgentLink::has_gone(&path), "there was none");
        let listener = Listener::bind(&path, Blocking::No).unwrap();
        assert!(!AgentLink::has_gone(&path));
        // Until it takes no more.
        let callers = std::iter::from_fn(|| Seqpacket::connect(&path, Blocking::No).ok());
        let callers: Vec<_> = callers.take(1000).collect();
        assert!(callers.len() < 1000, "its backlog is full");
        assert!(!AgentLink::has_gone(&path), "one with too many callers is there");
        drop((callers, listener));
        assert!(AgentLink::has_gone(&path), "its socket is left");
    }
}
