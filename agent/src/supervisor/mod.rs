//! The event loop: one instance, from its first boot to its end.
//!
//! ```text
//!              mounted           Boot           executed
//!  Preparing ─────────> Waiting ─────────> Booting ──────> Running ──┐ reboot
//!      │                   │                 │ ^              │      v
//!      │ failed            │ failed          │ └──────────────┼─ Rebooting
//!      v                   v                 v                v
//!    Over <────────────────┴─────────────────┴────────────────┘
//! ```
//!
//! [`state`] moves between them, [`requests`] serves the daemon, [`programs`] runs what it asks for,
//! [`interfaces`] tells of the network. Nothing in here waits for anything but the poller.

mod interfaces;
mod programs;
mod requests;
mod state;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sc_agent_protocol::{BootFailure, Event, Exit, InitKind, InstanceSpec, Recorded, Reply};
use sc_sys::Result;
use sc_sys::epoll::{Interest, Poller, Ready, Signals};
use sc_sys::unix::{Blocking, Listener};

use crate::boot::parent::{Boot, Entry};
use crate::connection::Connection;
use crate::console::{Console, Tokens};
use crate::exec::Execs;
use crate::failure::Step;
use crate::host::{Host, Trees};
use crate::init::detect::Program;
use crate::log::{BoundedFile, Journal};
use crate::network::{Changes, Network};
use crate::stop::Stop;
use crate::user::{Kept, Making};
use crate::verdict::Wanted;

/// Names of descriptors in the event loop; programs and connections have theirs from these on.
mod token {
    pub(super) const LISTENER: u64 = 1;
    pub(super) const SIGNALS: u64 = 2;
    pub(super) const BOOT: u64 = 3;
    pub(super) const CONSOLE_MASTER: u64 = 4;
    pub(super) const CONSOLE_CLIENT: u64 = 5;
    pub(super) const NETWORK: u64 = 6;
    pub(super) const FIRST_CONNECTION: u64 = 1 << 32;
    pub(super) const FIRST_EXEC: u64 = 1 << 48;
}

const SIGCHLD: i32 = 17;
/// Signals that end other programs and that an agent outlives: it ends with its instance, or by `Quit`.
const OUTLIVED: [i32; 6] = [1, 2, 3, 10, 12, 15];
/// How long an agent whose first boot nobody asks for waits.
const FIRST_BOOT_PATIENCE: Duration = Duration::from_secs(60);
/// How long the last messages wait for their reader.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same where no daemon has ever come to hear why the boot failed.
const LONELY_FAREWELL: Duration = Duration::from_secs(10);
/// How often children are looked for again when that fails.
const REAP_ATTEMPTS: u32 = 3;
/// Pending connections that have not said hello; one daemon needs one.
const MOST_CONNECTIONS: usize = 8;

/// Everything the agent has opened, ready for the loop.
pub(crate) struct Supervisor {
    spec: Rc<InstanceSpec>,
    /// Missing where it could not be set up; then nothing ever runs.
    host: Option<Rc<Host>>,
    /// What the guest keeps over its reboots.
    namespaces: Option<Rc<Kept>>,
    program: Option<Program>,
    poller: Poller,
    signals: Signals,
    listener: Listener,
    connections: Vec<Connection>,
    /// The token of the connection that said hello last.
    daemon: Option<u64>,
    last_connection: u64,
    state: State,
    guest: Option<Guest>,
    network: Option<Network>,
    network_changes: Changes,
    console: Console,
    execs: Execs,
    stop: Option<Stop>,
    /// A stop that was asked for while the guest boots: its signal, where one was given.
    stop_when_running: Option<Option<i32>>,
    /// How often in a row the guest has rebooted as soon as it ran.
    short_lives: u32,
    wanted: Wanted,
    reboots: u32,
    journal: Journal,
    began: Instant,
}

/// Where the instance is.
enum State {
    /// Namespaces and mounts are made; a request to boot that came meanwhile.
    Preparing(Option<Pending>),
    /// PID 1 is being prepared or waits to be let go.
    Waiting(Boot),
    /// It was let go; the daemon's request awaits its reply.
    Booting(Boot, Option<Pending>),
    /// Init runs.
    Running,
    /// The guest has ended and is booted again at this time.
    Rebooting(Instant),
    /// It is over, and how; the agent stays until this time for its last messages.
    Over(Ended, Instant),
}

/// How it is over.
#[derive(Debug, Clone)]
enum Ended {
    /// The instance ran and ended.
    Exit(Exit),
    /// It did not come up.
    Failed(BootFailure),
    /// It was given up before its first boot.
    Abandoned,
}

/// A request that is answered later.
#[derive(Debug, Clone, Copy)]
struct Pending {
    connection: u64,
    request: u64,
}

/// PID 1 and what belongs to it.
struct Guest {
    pid: i32,
    pidfd: OwnedFd,
    devpts: Option<OwnedFd>,
    kind: InitKind,
    started: Instant,
    since_us: u64,
}

impl Supervisor {
    /// Prepares the loop.
    pub(crate) fn new(
        spec: &Rc<InstanceSpec>,
        listener: OwnedFd,
        console_log: BoundedFile,
        journal: Journal,
    ) -> Result<Self> {
        let mut all = OUTLIVED.to_vec();
        all.push(SIGCHLD);
        let tokens = Tokens { master: token::CONSOLE_MASTER, client: token::CONSOLE_CLIENT };
        let now = Instant::now();
        let supervisor = Self {
            spec: Rc::clone(spec),
            host: None,
            namespaces: None,
            program: None,
            poller: Poller::new()?,
            signals: Signals::take(&all)?,
            listener: Listener::take_over(listener),
            connections: Vec::new(),
            daemon: None,
            last_connection: 0,
            state: State::Preparing(None),
            guest: None,
            network: None,
            network_changes: Changes::default(),
            console: Console::new(tokens, console_log),
            execs: Execs::default(),
            stop: None,
            stop_when_running: None,
            short_lives: 0,
            wanted: Wanted::Running,
            reboots: 0,
            journal,
            began: now,
        };
        sc_sys::unix::set_blocking(&supervisor.listener, Blocking::No)?;
        supervisor.poller.add(&supervisor.listener, token::LISTENER, Interest::Read)?;
        supervisor.poller.add(&supervisor.signals, token::SIGNALS, Interest::Read)?;
        Ok(supervisor)
    }

    /// Begins the first boot; `descriptors` are what the spec names. A failure is kept for the daemon to
    /// hear.
    pub(crate) fn begin(
        &mut self,
        descriptors: Vec<OwnedFd>,
        mount: impl FnOnce(&Trees, BorrowedFd<'_>) -> std::result::Result<Program, BootFailure>,
    ) {
        if let Err(failure) = self.prepare(descriptors, mount) {
            self.fail(failure);
        }
    }

    fn prepare(
        &mut self,
        descriptors: Vec<OwnedFd>,
        mount: impl FnOnce(&Trees, BorrowedFd<'_>) -> std::result::Result<Program, BootFailure>,
    ) -> std::result::Result<(), BootFailure> {
        let making = Making::begin(self.spec.ids)?;
        // While the kernel makes the network namespace.
        let (host, trees) = Host::enter(&self.spec, descriptors)?;
        self.host = Some(Rc::new(host));
        let kept = Rc::new(making.finish()?);
        self.namespaces = Some(Rc::clone(&kept));
        // The daemon is there by now: it plugs the NICs in while the rest is prepared.
        self.serve_waiting().step("serve the daemon")?;
        match self.state {
            State::Preparing(_) => self.first_boot(|| mount(&trees, kept.user.as_fd())),
            // Given up meanwhile.
            _ => Ok(()),
        }
    }

    /// Takes what has come, and waits for nothing.
    fn serve_waiting(&mut self) -> Result<()> {
        let mut events = Vec::new();
        loop {
            self.poller.wait(&mut events, Some(Duration::ZERO))?;
            if events.is_empty() {
                return Ok(());
            }
            for event in &events {
                self.handle(*event)?;
            }
        }
    }

    /// Runs until the instance is over and has been told of.
    pub(crate) fn run(mut self) -> Result<()> {
        let mut events = Vec::new();
        while !self.is_done() {
            let timeout =
                self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
            self.poller.wait(&mut events, timeout)?;
            for event in &events {
                self.handle(*event)?;
            }
            self.on_time()?;
        }
        self.kill_guest();
        self.journal.say("the agent ends");
        Ok(())
    }

    fn handle(&mut self, event: Ready) -> Result<()> {
        match event.token {
            token::LISTENER => self.accept(),
            token::SIGNALS => self.take_signals(),
            token::BOOT => self.advance_boot(),
            token::CONSOLE_MASTER => self.console.master_ready(&self.poller),
            token::CONSOLE_CLIENT => self.console.client_ready(event.hung_up, &self.poller),
            token::NETWORK => self.network_ready(),
            exec @ token::FIRST_EXEC.. => {
                let news = self.execs.check(exec - token::FIRST_EXEC);
                self.tell_execs(news);
            }
            connection => self.serve(connection),
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        loop {
            match self.signals.read() {
                Ok(Some(SIGCHLD)) => {}
                Ok(Some(signal)) => {
                    let what = "is ignored: the agent ends with its instance";
                    self.journal.say(format!("signal {signal} {what}"));
                }
                Ok(None) => break,
                // It is told again.
                Err(error) => {
                    self.journal.say(format!("{error}: {}", error.io()));
                    break;
                }
            }
        }
        self.reap();
    }

    /// Reaps what has ended. Signals of the same kind merge: every child is looked for. A guest does not die
    /// of a call that fails.
    fn reap(&mut self) {
        let mut failures = 0;
        while failures < REAP_ATTEMPTS {
            match sc_sys::process::reap_any() {
                Ok(Some((pid, exit))) => self.reaped(pid, exit),
                Ok(None) => return,
                Err(error) => {
                    failures += 1;
                    self.journal.say(format!("{error}: {}", error.io()));
                }
            }
        }
    }

    fn reaped(&mut self, pid: i32, exit: sc_sys::process::Exit) {
        if self.guest.as_ref().is_some_and(|guest| guest.pid == pid) {
            self.guest_ended(exit);
        } else if let Some(news) = self.execs.reaped(pid, exit) {
            self.tell_execs(news);
        } else if let State::Waiting(boot) | State::Booting(boot, _) = &self.state
            && boot.is_starter(pid)
        {
            self.advance_boot();
        }
    }

    /// Returns when something is due without an event.
    fn next_deadline(&self) -> Option<Instant> {
        let now = Instant::now();
        let by_state = match &self.state {
            State::Waiting(_) if self.daemon.is_none() => Some(self.began + FIRST_BOOT_PATIENCE),
            State::Rebooting(at) | State::Over(_, at) => Some(*at),
            State::Preparing(_) | State::Waiting(_) | State::Booting(..) | State::Running => None,
        };
        let stop = self.stop.as_ref().and_then(|stop| stop.due(now));
        [by_state, stop, self.execs.due(), self.network_changes.due()].into_iter().flatten().min()
    }

    fn on_time(&mut self) -> Result<()> {
        let now = Instant::now();
        match &self.state {
            State::Waiting(_)
                if now >= self.began + FIRST_BOOT_PATIENCE && self.daemon.is_none() =>
            {
                self.abandon("nobody asked for the boot");
            }
            State::Rebooting(at) if now >= *at => self.boot_again(),
            _ => {}
        }
        self.advance_stop(now);
        let late = self.execs.kill_due(now);
        self.tell_execs(late);
        if self.network_changes.is_due(now) {
            self.tell_interfaces(now);
        }
        Ok(())
    }

    /// Tells the daemon, if one listens.
    fn tell(&mut self, event: Event, fds: Vec<OwnedFd>) {
        let daemon = self.daemon;
        let poller = &self.poller;
        if let Some(connection) = self.connections.iter_mut().find(|c| Some(c.token()) == daemon) {
            connection.event(event, fds, poller);
        }
    }

    fn reply(&mut self, to: Pending, reply: Reply, fds: Vec<OwnedFd>) {
        let poller = &self.poller;
        if let Some(connection) = self.connections.iter_mut().find(|c| c.token() == to.connection) {
            connection.reply(to.request, reply, fds, poller);
        }
    }

    fn is_done(&self) -> bool {
        let State::Over(ended, until) = &self.state else { return false };
        if Instant::now() >= *until {
            return true;
        }
        // A killed PID 1 is reaped here, so that its cgroups are empty when the agent has gone.
        let is_reaped = self.guest.is_none();
        let is_told = self.connections.iter().all(Connection::is_flushed);
        match ended {
            Ended::Abandoned => is_reaped,
            // Without a daemon there is nobody to tell what is in the record.
            Ended::Exit(_) => is_reaped && is_told,
            Ended::Failed(_) => is_reaped && is_told && self.daemon.is_some(),
        }
    }

    fn record(&mut self, what: Recorded) {
        self.journal.record(what);
    }

    fn entry(&self, program: &Program) -> Entry {
        let kind = program.facts.kind();
        Entry {
            command: program.command.clone(),
            view: self.spec.cgroup_view.unwrap_or_else(|| program.facts.cgroup_view()),
            controlling_terminal: crate::init::wants_controlling_terminal(kind),
            seed: self.reboots == 0,
        }
    }

    fn network_namespace(&self) -> Option<OwnedFd> {
        self.namespaces.as_ref()?.network.try_clone().ok()
    }
}
