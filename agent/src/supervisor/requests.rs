//! What daemons ask, and the coming and going of daemons.

use std::os::fd::OwnedFd;
use std::time::Instant;

use sc_agent_protocol::{
    Event, ExecRequest, Exit, PROTOCOL_VERSION, Phase, Reply, Request, ToAgent,
};
use sc_sys::unix::Blocking;

use super::{Ended, MOST_CONNECTIONS, Pending, State, Supervisor, token};
use crate::connection::{Connection, Incoming};
use crate::console::Takeover;
use crate::exec::Owner;
use crate::network::Network;

/// What is left is told again by the poller.
const REQUESTS_AT_A_TIME: usize = 64;

impl Supervisor {
    pub(super) fn accept(&mut self) {
        while let Ok(socket) = self.listener.accept(Blocking::No) {
            let own = rustix::process::geteuid().as_raw();
            let allowed = socket.peer().is_ok_and(|peer| peer.uid == 0 || peer.uid == own);
            if !allowed || self.connections.len() >= MOST_CONNECTIONS {
                continue;
            }
            self.last_connection += 1;
            let token = token::FIRST_CONNECTION + self.last_connection;
            match Connection::new(socket, token, &self.poller) {
                Ok(connection) => self.connections.push(connection),
                Err(error) => self.journal.say(format!("{error}: {}", error.io())),
            }
        }
    }

    /// Serves what waits on a connection, so much at a time that all else has its turn, and sends what
    /// waits for it.
    pub(super) fn serve(&mut self, token: u64) {
        for _ in 0..REQUESTS_AT_A_TIME {
            let poller = &self.poller;
            let Some(connection) = self.connections.iter_mut().find(|c| c.token() == token) else {
                return;
            };
            connection.flush(poller);
            match connection.receive() {
                Incoming::Nothing if connection.is_broken() => return self.disconnect(token),
                Incoming::Nothing => return,
                Incoming::Closed => return self.disconnect(token),
                Incoming::Unknown(request) => {
                    let to = Pending { connection: token, request };
                    self.reply(to, Reply::Unsupported, Vec::new());
                }
                Incoming::Request(request, fds) => self.request(token, request, fds),
            }
        }
    }

    fn disconnect(&mut self, token: u64) {
        self.connections.retain(|connection| connection.token() != token);
        self.hang_up_orphans();
        if self.daemon == Some(token) {
            self.daemon = None;
            if matches!(self.state, State::Preparing(_) | State::Waiting(_)) {
                self.abandon("the daemon went away before the first boot");
            }
        }
    }

    /// Ends the programs whose daemon's connection has ended: nobody reads them any more.
    fn hang_up_orphans(&mut self) {
        let connections = &self.connections;
        let is_there = |token| connections.iter().any(|connection| connection.token() == token);
        let count = self.execs.hang_up_orphans(is_there, Instant::now());
        if count > 0 {
            self.journal.say(format!("hung up, their daemon having gone: {count} programs"));
        }
    }

    fn request(&mut self, connection: u64, message: ToAgent, mut fds: Vec<OwnedFd>) {
        let to = Pending { connection, request: message.id };
        match message.request {
            Request::Hello { version } => self.hello(to, version),
            Request::Boot => self.boot(to),
            Request::Quit => {
                self.reply(to, Reply::Done, Vec::new());
                self.quit();
            }
            Request::Stop { signal } => self.stop(to, signal),
            Request::Exec(request) => self.exec(to, &request, None, fds),
            Request::ExecFile(request) => {
                let words = fds.pop();
                self.exec(to, &request, words, fds);
            }
            Request::Signal { exec, signal } => self.signal_exec(to, exec, signal),
            Request::HangUp { exec } => {
                let is_there = self.execs.hang_up(exec, Instant::now());
                let reply = if is_there { Reply::Done } else { no_such_program() };
                self.reply(to, reply, Vec::new());
            }
            Request::Console { size, force } => self.attach_console(to, size, force),
            Request::ConsoleResize(size) => {
                self.console.resize(size);
                self.reply(to, Reply::Done, Vec::new());
            }
            Request::Interfaces => match self.interfaces() {
                Some(interfaces) => self.reply(to, Reply::Interfaces(interfaces), Vec::new()),
                None => self.wrong_phase(to),
            },
        }
    }

    /// Listens to this connection from here on, and to no other.
    fn hello(&mut self, to: Pending, version: u32) {
        self.journal.say(format!("a daemon has come, version {version}"));
        self.connections.retain(|connection| connection.token() == to.connection);
        self.hang_up_orphans();
        self.daemon = Some(to.connection);
        let welcome = Reply::Welcome {
            version: PROTOCOL_VERSION,
            pid: std::process::id(),
            phase: self.phase(),
        };
        self.reply(to, welcome, Vec::new());
        self.tell_namespaces();
        // It has missed the event that told of it.
        match &self.state {
            State::Over(Ended::Failed(failure), _) => {
                let event = Event::Failed(failure.clone());
                self.tell(event, Vec::new());
            }
            State::Over(Ended::Exit(exit), _) => {
                let event = Event::Ended(exit.clone());
                self.tell(event, Vec::new());
            }
            _ => {}
        }
    }

    pub(super) fn boot(&mut self, to: Pending) {
        match std::mem::replace(&mut self.state, State::Running) {
            State::Preparing(_) => self.state = State::Preparing(Some(to)),
            State::Waiting(mut boot) => {
                // What is plugged in by now is what later boots find as well.
                if let Some(Err(error)) = self.network.as_mut().map(Network::remember) {
                    self.journal.say(format!("{error}: {}", error.io()));
                }
                let outcome = boot.go();
                self.state = State::Booting(boot, Some(to));
                if let Err(failure) = outcome {
                    self.fail(failure);
                }
            }
            other => {
                self.state = other;
                self.wrong_phase(to);
            }
        }
    }

    fn stop(&mut self, to: Pending, signal: Option<i32>) {
        match self.state {
            State::Running => self.begin_stop(signal),
            State::Booting(..) => self.stop_when_running = Some(signal),
            State::Rebooting(_) => self.end(Exit::Halted),
            State::Preparing(_) | State::Waiting(_) | State::Over(..) => {
                return self.wrong_phase(to);
            }
        }
        self.reply(to, Reply::Done, Vec::new());
    }

    fn wrong_phase(&mut self, to: Pending) {
        let reply = match &self.state {
            State::Over(Ended::Failed(failure), _) => Reply::Failed(failure.clone()),
            _ => Reply::WrongPhase(self.phase()),
        };
        self.reply(to, reply, Vec::new());
    }

    fn phase(&self) -> Phase {
        match (&self.state, &self.guest) {
            (State::Preparing(_) | State::Waiting(_), _) => Phase::Waiting,
            (State::Running, Some(guest)) => Phase::Running {
                pid: guest.pid.unsigned_abs(),
                init: guest.kind,
                since_us: guest.since_us,
                reboots: self.reboots,
            },
            (State::Booting(..) | State::Rebooting(_) | State::Running, _) => Phase::Booting,
            (State::Over(Ended::Exit(exit), _), _) => Phase::Ended(exit.clone()),
            (State::Over(Ended::Failed(failure), _), _) => {
                Phase::Ended(Exit::Failed { status: failure.errno })
            }
            (State::Over(Ended::Abandoned, _), _) => Phase::Ended(Exit::Halted),
        }
    }

    fn exec(
        &mut self,
        to: Pending,
        request: &ExecRequest,
        words: Option<OwnedFd>,
        fds: Vec<OwnedFd>,
    ) {
        if !matches!(self.state, State::Running) {
            return self.wrong_phase(to);
        }
        let owner = Owner::Daemon { connection: to.connection, request: to.request };
        if let Err(failure) = self.start_exec(request, words, fds, owner) {
            let reply = Reply::ExecFailed { step: failure.step, errno: failure.errno };
            self.reply(to, reply, Vec::new());
        }
    }

    fn signal_exec(&mut self, to: Pending, exec: u64, signal: i32) {
        let reply = match self.execs.signal(exec, signal) {
            Ok(true) => Reply::Done,
            // It has ended, which the daemon hears or has heard.
            Ok(false) => no_such_program(),
            Err(error) => {
                Reply::ExecFailed { step: error.to_string(), errno: error.errno().unwrap_or(0) }
            }
        };
        self.reply(to, reply, Vec::new());
    }

    fn attach_console(
        &mut self,
        to: Pending,
        size: Option<sc_agent_protocol::WindowSize>,
        force: bool,
    ) {
        let takeover = if force { Takeover::Force } else { Takeover::Polite };
        let outcome = self.console.attach(takeover, &self.poller);
        if let (Some(size), Ok(Some(_))) = (size, &outcome) {
            self.console.resize(size);
        }
        match outcome {
            Ok(Some(stream)) => self.reply(to, Reply::Console, vec![stream]),
            Ok(None) => self.reply(to, Reply::ConsoleBusy, Vec::new()),
            Err(error) => {
                let failure = crate::failure::of("attach console", &error);
                self.reply(to, Reply::Failed(failure), Vec::new());
            }
        }
    }
}

fn no_such_program() -> Reply {
    let errno = rustix::io::Errno::SRCH.raw_os_error();
    Reply::ExecFailed { step: "signal program".into(), errno }
}
