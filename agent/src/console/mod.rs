//! The guest's console: held by the agent from before init runs until after it has ended.
//!
//! ```text
//! guest ──pty──> bounded log ──> the client attached, if any
//!       <──────────────────────────────────── what the client types
//! ```
//!
//! A client sees what is shown from its coming on. Before that it gets the line that is not finished yet, so
//! that a prompt which waits is seen; what went before is in the log.
//!
//! Nobody is waited for: a client that does not read loses the oldest of what waits for it, a guest that
//! does not read lets the client's typing wait in the client's own socket.

mod line;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pty::OpenptFlags;
use sc_agent_protocol::WindowSize;
use sc_sys::epoll::{Interest, Poller};
use sc_sys::pty::{Size, set_size};
use sc_sys::unix::{Blocking, set_blocking};
use sc_sys::{Result, SysError};

use self::line::UnfinishedLine;
use crate::log::BoundedFile;

/// As much output as waits for a slow client.
const BACKLOG_BYTES: usize = 1024 * 1024;
/// As much input as waits for a slow guest.
const INPUT_BYTES: usize = 64 * 1024;
/// Reads at a time, so that a guest that floods its console does not keep the agent from all else.
const READS_AT_A_TIME: usize = 16;

/// The event loop's names for the console's two descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    /// The pty's master.
    pub master: u64,
    /// The client's stream.
    pub client: u64,
}

/// The console.
#[derive(Debug)]
pub(crate) struct Console {
    tokens: Tokens,
    master: Option<Master>,
    line: UnfinishedLine,
    log: BoundedFile,
    client: Option<Client>,
    input: VecDeque<u8>,
    size: Option<WindowSize>,
}

#[derive(Debug)]
struct Master {
    fd: OwnedFd,
    /// The guest's end, kept open so that the terminal outlives each of its getty's.
    _terminal: OwnedFd,
}

#[derive(Debug)]
struct Client {
    stream: OwnedFd,
    backlog: VecDeque<u8>,
}

/// Whether a client may take another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// Whoever is attached is detached.
    Force,
    /// Only an unused console is attached to.
    Polite,
}

impl Console {
    /// Makes a console without terminal; its output will go to the log.
    pub(crate) fn new(tokens: Tokens, log: BoundedFile) -> Self {
        Self {
            tokens,
            master: None,
            line: UnfinishedLine::default(),
            log,
            client: None,
            input: VecDeque::new(),
            size: None,
        }
    }

    /// Takes the terminal of a new boot. A client that is attached stays so.
    pub(crate) fn connect(&mut self, master: OwnedFd, poller: &Poller) -> Result<()> {
        set_blocking(&master, Blocking::No)?;
        let terminal = open_peer(&master)?;
        poller.add(&master, self.tokens.master, Interest::Read)?;
        self.master = Some(Master { fd: master, _terminal: terminal });
        self.input.clear();
        if let Some(size) = self.size {
            self.resize(size);
        }
        Ok(())
    }

    /// Reads what is left in the terminal of a guest that has ended, and lets it go.
    pub(crate) fn disconnect(&mut self, poller: &Poller) {
        self.read_master(poller);
        self.master = None;
    }

    /// Attaches a client: returns its end of a stream that begins with the unfinished line; `None` where
    /// another is attached.
    pub(crate) fn attach(
        &mut self,
        takeover: Takeover,
        poller: &Poller,
    ) -> Result<Option<OwnedFd>> {
        if self.client.is_some() && takeover == Takeover::Polite {
            return Ok(None);
        }
        let flags = SocketFlags::CLOEXEC;
        let (stream, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                .map_err(|error| SysError::new("create", "socket pair", error))?;
        set_blocking(&stream, Blocking::No)?;
        self.detach();
        poller.add(&stream, self.tokens.client, Interest::Read)?;
        self.client = Some(Client { stream, backlog: self.line.bytes().clone() });
        self.flush(poller);
        Ok(Some(theirs))
    }

    fn detach(&mut self) {
        self.client = None;
        self.input.clear();
    }

    /// Gives the console a size, which later boots have as well.
    pub(crate) fn resize(&mut self, size: WindowSize) {
        self.size = Some(size);
        if let Some(master) = &self.master {
            // A terminal that has gone has no size.
            let _ = set_size(&master.fd, Size { rows: size.rows, columns: size.columns });
        }
    }

    /// Deals with news of the terminal.
    pub(crate) fn master_ready(&mut self, poller: &Poller) {
        self.read_master(poller);
        self.flush(poller);
    }

    fn read_master(&mut self, poller: &Poller) {
        let mut buffer = [0_u8; 4096];
        for _ in 0..READS_AT_A_TIME {
            let Some(master) = &self.master else { return };
            match rustix::io::read(&master.fd, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return self.renew_terminal(poller),
                Ok(length) => self.output(&buffer[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.master = None,
            }
        }
    }

    /// Opens the guest's end again after everyone has let go of it: else the master reports a hang-up for
    /// ever.
    fn renew_terminal(&mut self, poller: &Poller) {
        let Some(Master { fd, .. }) = self.master.take() else { return };
        match open_peer(&fd) {
            Ok(terminal) => self.master = Some(Master { fd, _terminal: terminal }),
            // The guest's devpts is gone: it has ended.
            Err(_) => drop(poller.remove(&fd)),
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        self.line.push(bytes);
        self.log.append(bytes);
        if let Some(client) = &mut self.client {
            client.backlog.extend(bytes);
            let surplus = client.backlog.len().saturating_sub(BACKLOG_BYTES);
            client.backlog.drain(..surplus);
        }
    }

    /// Deals with news of the client; `hung_up` says that it has left, which is told again and again.
    pub(crate) fn client_ready(&mut self, hung_up: bool, poller: &Poller) {
        let mut buffer = [0_u8; 4096];
        while self.input.len() < INPUT_BYTES {
            let Some(client) = &self.client else { break };
            match rustix::io::read(&client.stream, &mut buffer) {
                Ok(length @ 1..) => self.input.extend(&buffer[..length]),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => self.detach(),
            }
        }
        if hung_up && self.input.len() >= INPUT_BYTES {
            // What it has typed waits for a guest that does not read; it is not kept for nobody.
            self.detach();
        }
        self.flush(poller);
    }

    /// Writes what waits on both sides, and waits for what the rest needs.
    fn flush(&mut self, poller: &Poller) {
        if let Some(client) = &mut self.client
            && drain(&client.stream, &mut client.backlog).is_err()
        {
            self.detach();
        }
        if let Some(master) = &self.master {
            if drain(&master.fd, &mut self.input).is_err() {
                self.input.clear();
            }
            let interest = interest(true, !self.input.is_empty());
            let _ = poller.modify(&master.fd, self.tokens.master, interest);
        } else {
            // Nobody to type to between two boots.
            self.input.clear();
        }
        if let Some(client) = &self.client {
            let reads = self.input.len() < INPUT_BYTES;
            let interest = interest(reads, !client.backlog.is_empty());
            let _ = poller.modify(&client.stream, self.tokens.client, interest);
        }
    }
}

fn interest(reads: bool, writes: bool) -> Interest {
    match (reads, writes) {
        (true, true) => Interest::Both,
        (true, false) => Interest::Read,
        (false, true) => Interest::Write,
        (false, false) => Interest::Quiet,
    }
}

fn open_peer(master: &OwnedFd) -> Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    rustix::pty::ioctl_tiocgptpeer(master, flags)
        .map_err(|error| SysError::new("open peer of", "console", error))
}

/// Writes as much as the descriptor takes.
fn drain(fd: impl AsFd, waiting: &mut VecDeque<u8>) -> std::result::Result<(), Errno> {
    while !waiting.is_empty() {
        let (front, _) = waiting.as_slices();
        match rustix::io::write(&fd, front) {
            Ok(length) => drop(waiting.drain(..length)),
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use sc_sys::pty::Pty;

    use super::*;

    const TOKENS: Tokens = Tokens { master: 1, client: 2 };

    struct Fixture {
        console: Console,
        poller: Poller,
        dir: tempfile::TempDir,
        terminal: OwnedFd,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let log = BoundedFile::open(&dir.path().join("console"), 1 << 20).unwrap();
        let poller = Poller::new().unwrap();
        let mut console = Console::new(TOKENS, log);
        let pty = Pty::open().unwrap();
        console.connect(pty.master, &poller).unwrap();
        Fixture { console, poller, dir, terminal: pty.terminal }
    }

    fn stream(fixture: &mut Fixture, takeover: Takeover) -> Option<UnixStream> {
        fixture.console.attach(takeover, &fixture.poller).unwrap().map(UnixStream::from)
    }

    #[test]
    fn a_client_sees_the_prompt_that_waits_and_nothing_older() {
        let mut f = fixture();
        rustix::io::write(&f.terminal, b"hello\nguest1 login: ").unwrap();
        f.console.master_ready(&f.poller);
        let mut client = stream(&mut f, Takeover::Polite).unwrap();
        rustix::io::write(&f.terminal, b"root\n").unwrap();
        f.console.master_ready(&f.poller);
        let mut buffer = [0; 20];
        client.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"guest1 login: root\r\n");
        let log = std::fs::read(f.dir.path().join("console")).unwrap();
        assert_eq!(log, b"hello\r\nguest1 login: root\r\n");
    }

    #[test]
    fn a_second_client_is_refused_unless_it_forces() {
        let mut f = fixture();
        let mut first = stream(&mut f, Takeover::Polite).unwrap();
        assert!(stream(&mut f, Takeover::Polite).is_none());
        assert!(stream(&mut f, Takeover::Force).is_some());
        assert_eq!(first.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn what_a_client_types_reaches_the_guest() {
        let mut f = fixture();
        let mut client = stream(&mut f, Takeover::Polite).unwrap();
        client.write_all(b"ls\n").unwrap();
        f.console.client_ready(false, &f.poller);
        let mut buffer = [0; 8];
        let length = rustix::io::read(&f.terminal, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"ls\n");
        drop(client);
        f.console.client_ready(false, &f.poller);
        assert!(stream(&mut f, Takeover::Polite).is_some(), "the place is free again");
    }

    #[test]
    fn a_client_that_does_not_read_loses_the_oldest() {
        let mut f = fixture();
        let _client = stream(&mut f, Takeover::Polite).unwrap();
        let line = [b'x'; 1023];
        for _ in 0..3000 {
            rustix::io::write(&f.terminal, &line).unwrap();
            f.console.master_ready(&f.poller);
        }
        assert!(f.console.client.unwrap().backlog.len() <= BACKLOG_BYTES);
    }

    #[test]
    fn a_client_that_leaves_while_the_guest_does_not_read_is_let_go() {
        let mut f = fixture();
        let mut client = stream(&mut f, Takeover::Polite).unwrap();
        client.set_nonblocking(true).unwrap();
        while f.console.input.len() < INPUT_BYTES {
            while client.write(&[b'x'; 4096]).is_ok() {}
            f.console.client_ready(false, &f.poller);
        }
        while client.write(&[b'x'; 4096]).is_ok() {}
        drop(client);
        let mut events = Vec::new();
        for _ in 0..100 {
            let moment = std::time::Duration::from_millis(10);
            f.poller.wait(&mut events, Some(moment)).unwrap();
            for event in events.iter().filter(|event| event.token == TOKENS.client) {
                f.console.client_ready(event.hung_up, &f.poller);
            }
        }
        let wakes = events.iter().any(|event| event.token == TOKENS.client);
        assert!(!wakes, "it does not keep the agent busy");
        assert!(stream(&mut f, Takeover::Polite).is_some());
    }

    #[test]
    fn the_terminal_outlives_its_last_user() {
        let mut f = fixture();
        drop(std::mem::replace(&mut f.terminal, std::fs::File::open("/dev/null").unwrap().into()));
        f.console.renew_terminal(&f.poller);
        f.console.master_ready(&f.poller);
        assert!(f.console.master.is_some());
    }
}
