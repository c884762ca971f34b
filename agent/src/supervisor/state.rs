//! The moves of an instance: boots, ends, reboots.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sc_agent_protocol::{BootFailure, Event, Exit, InitKind, Phase, Recorded, Reply};
use sc_sys::epoll::Interest;
use sc_sys::namespace::{self, Namespaces};
use sc_sys::process;

use super::{Ended, FAREWELL, Guest, LONELY_FAREWELL, State, Supervisor, token};
use crate::boot::parent::{Boot, Progress};
use crate::clock;
use crate::failure::Step;
use crate::host::Host;
use crate::init::detect::{Program, running_name};
use crate::init::{kind_by_name, stop_method};
use crate::network::Network;
use crate::stop::{self, Action, First, Stop, StopMethod};
use crate::verdict::{Verdict, Wanted, judge};

const SIGKILL: i32 = 9;
/// A guest that reboots sooner than this after its start, more than so often in a row, is taken to do so
/// for ever.
const SHORT_LIFE: Duration = Duration::from_secs(2);
const MOST_SHORT_LIVES: u32 = 3;
/// How long such a one waits for its next boot.
const RESTRAINT: Duration = Duration::from_secs(2);
/// How often the cgroups of a guest that has just ended are looked at until they are empty.
const CLEAR_ATTEMPTS: u32 = 100;
const CLEAR_PAUSE: Duration = Duration::from_millis(5);

impl Supervisor {
    /// Begins the first boot; `mount` mounts the guest's root while the starter enters cgroups.
    pub(super) fn first_boot(
        &mut self,
        mount: impl FnOnce() -> Result<Program, BootFailure>,
    ) -> Result<(), BootFailure> {
        let boot = Boot::begin(&self.spec, self.host())?;
        let program = mount()?;
        self.enter(&boot, &program)?;
        self.journal.say(format!("init is {program}"));
        self.program = Some(program);
        self.watch_boot(&boot)?;
        let asked = match std::mem::replace(&mut self.state, State::Waiting(boot)) {
            State::Preparing(asked) => asked,
            _ => None,
        };
        if let Some(asked) = asked {
            self.boot(asked);
        }
        Ok(())
    }

    fn enter(&self, boot: &Boot, program: &Program) -> Result<(), BootFailure> {
        let kept = self.namespaces.as_ref().expect("they are made before anything is mounted");
        boot.enter(self.entry(program), kept.user.as_fd(), kept.network.as_fd())
    }

    pub(super) fn host(&self) -> &Rc<Host> {
        self.host.as_ref().expect("a boot begins once the host's side is set up")
    }

    fn watch_boot(&self, boot: &Boot) -> Result<(), BootFailure> {
        self.poller.add(boot.as_fd(), token::BOOT, Interest::Read).step("watch boot")
    }

    /// Begins another boot with the same user and network namespace.
    pub(super) fn boot_again(&mut self) {
        if let Err(failure) = self.try_boot_again() {
            self.fail(failure);
        }
    }

    fn try_boot_again(&mut self) -> Result<(), BootFailure> {
        for _ in 0..CLEAR_ATTEMPTS {
            if self.host().cgroups.clear() {
                break;
            }
            // Tasks leave their cgroups a moment after they were reaped.
            std::thread::sleep(CLEAR_PAUSE);
        }
        let mut boot = Boot::begin(&self.spec, self.host())?;
        let program = self.program.as_ref().expect("a guest that has run was mounted");
        self.enter(&boot, program)?;
        self.watch_boot(&boot)?;
        boot.go()?;
        self.state = State::Booting(boot, None);
        Ok(())
    }

    /// Takes what the process that becomes PID 1 has told.
    pub(super) fn advance_boot(&mut self) {
        loop {
            let (State::Waiting(boot) | State::Booting(boot, _)) = &mut self.state else { return };
            let Some(progress) = boot.advance() else { return };
            let outcome = match progress {
                Progress::Cloned(pid) => {
                    self.cloned(pid).map_err(|failure| self.first_cause().unwrap_or(failure))
                }
                Progress::Prepared { devpts, master } => {
                    if let Some(guest) = &mut self.guest {
                        guest.devpts = Some(devpts);
                    }
                    self.console.connect(master, &self.poller).step("connect console")
                }
                Progress::Executed => self.executed(),
                Progress::Failed(failure) => Err(failure),
            };
            if let Err(failure) = outcome {
                self.fail(failure);
            }
        }
    }

    /// What PID 1 has said of its own failure: that it cannot be held any more only follows from that.
    fn first_cause(&self) -> Option<BootFailure> {
        match &self.state {
            State::Waiting(boot) | State::Booting(boot, _) => boot.said(),
            _ => None,
        }
    }

    fn cloned(&mut self, pid: i32) -> Result<(), BootFailure> {
        let pidfd = process::open_pidfd(pid).step("hold PID 1")?;
        let kind = self.program.as_ref().map_or(InitKind::Other, |program| program.facts.kind());
        self.guest = Some(Guest {
            pid,
            pidfd,
            devpts: None,
            kind,
            started: Instant::now(),
            since_us: clock::now_us(),
        });
        if self.wanted == Wanted::Ended {
            // The daemon wanted its end before it was known.
            self.kill_guest();
        }
        if self.network.is_none() {
            self.watch_network().step("watch network")?;
        }
        Ok(())
    }

    fn watch_network(&mut self) -> sc_sys::Result<()> {
        let Some(kept) = &self.namespaces else { return Ok(()) };
        let mut network = Network::open(kept.network.as_fd(), self.host().net_namespace.as_fd())?;
        network.listen(&self.poller, token::NETWORK)?;
        self.network = Some(network);
        Ok(())
    }

    /// Tells the daemon of the namespaces, where the first boot waits for it.
    pub(super) fn tell_namespaces(&mut self) {
        if let (State::Preparing(_) | State::Waiting(_), Some(network)) =
            (&self.state, self.network_namespace())
        {
            self.tell(Event::NamespacesReady, vec![network]);
        }
    }

    fn executed(&mut self) -> Result<(), BootFailure> {
        let state = std::mem::replace(&mut self.state, State::Running);
        let Some(guest) = &mut self.guest else { return Ok(()) };
        guest.started = Instant::now();
        guest.since_us = clock::now_us();
        // Children of the agent are born into the guest's pid namespace from here on.
        match namespace::enter(&guest.pidfd, Namespaces::NEWPID) {
            // It has ended already, which is told as soon as it is reaped.
            Err(error) if error.is(Errno::SRCH.raw_os_error()) => {}
            outcome => outcome.step("enter pid namespace")?,
        }
        let (pid, init, reboots) = (guest.pid.unsigned_abs(), guest.kind, self.reboots);
        if let State::Booting(_, Some(pending)) = state {
            self.reply(pending, Reply::Done, Vec::new());
        }
        self.record(Recorded::Started { pid, reboots });
        self.tell(Event::Started { pid, init, reboots }, Vec::new());
        if let Some(signal) = self.stop_when_running.take() {
            self.begin_stop(signal);
        }
        Ok(())
    }

    /// Judges the end of PID 1, which was reaped just now.
    pub(super) fn guest_ended(&mut self, exit: process::Exit) {
        self.console.disconnect(&self.poller);
        // What it said last, such as why its execution failed.
        self.advance_boot();
        let Some(guest) = self.guest.take() else { return };
        self.stop = None;
        match &self.state {
            State::Running => {}
            State::Over(..) => return,
            _ if self.wanted == Wanted::Ended => {}
            _ => return self.fail(early_end(exit)),
        }
        let init = self.program.as_ref().and_then(|program| program.command.first());
        let init = init.map_or("init", String::as_str);
        match judge(exit, guest.started.elapsed(), self.wanted, init) {
            Verdict::Reboot => self.reboot(guest.started.elapsed()),
            Verdict::Ended(exit) => self.end(exit),
            Verdict::Failed(failure) => self.fail(failure),
        }
    }

    fn reboot(&mut self, uptime: Duration) {
        self.reboots += 1;
        self.record(Recorded::Rebooting);
        self.tell(Event::Rebooting, Vec::new());
        if let Err(error) = namespace::enter(&self.host().pid_namespace, Namespaces::NEWPID) {
            return self.fail(crate::failure::of("leave pid namespace", &error));
        }
        if let Some(network) = &mut self.network
            && let Err(error) = network.reset()
        {
            self.journal.say(format!("reset network: {error}: {}", error.io()));
        }
        self.short_lives = if uptime < SHORT_LIFE { self.short_lives + 1 } else { 0 };
        let restrained = self.short_lives > MOST_SHORT_LIVES;
        let pause = if restrained { RESTRAINT } else { Duration::ZERO };
        self.state = State::Rebooting(Instant::now() + pause);
    }

    pub(super) fn end(&mut self, exit: Exit) {
        self.record(Recorded::Ended(exit.clone()));
        self.settle(Reply::WrongPhase(Phase::Ended(exit.clone())));
        self.tell(Event::Ended(exit.clone()), Vec::new());
        self.state = State::Over(Ended::Exit(exit), Instant::now() + FAREWELL);
    }

    /// Ends a boot that failed, or an instance whose init did not come up.
    pub(super) fn fail(&mut self, failure: BootFailure) {
        if let State::Over(Ended::Exit(_) | Ended::Failed(_), _) = self.state {
            return;
        }
        if self.wanted == Wanted::Ended {
            // What was killed on request has not failed.
            self.kill_guest();
            return self.end(Exit::Killed { signal: SIGKILL });
        }
        let failure = self.with_remedy(failure);
        self.record(Recorded::Failed(failure.clone()));
        self.settle(Reply::Failed(failure.clone()));
        self.kill_guest();
        self.tell(Event::Failed(failure.clone()), Vec::new());
        let patience = if self.daemon.is_some() { FAREWELL } else { LONELY_FAREWELL };
        self.state = State::Over(Ended::Failed(failure), Instant::now() + patience);
    }

    fn with_remedy(&self, mut failure: BootFailure) -> BootFailure {
        let foreign = self.program.as_ref().and_then(|program| program.foreign);
        if let (Some(processor), "execute init") = (foreign, failure.step.as_str()) {
            failure.remedy = Some(format!(
                "the image holds programs for {processor} and this host is {}; use an image of the host's \
                 architecture",
                std::env::consts::ARCH
            ));
        }
        failure
    }

    /// Answers the request that awaits the boot.
    fn settle(&mut self, reply: Reply) {
        if let State::Preparing(pending) | State::Booting(_, pending) = &mut self.state
            && let Some(pending) = pending.take()
        {
            self.reply(pending, reply, Vec::new());
        }
    }

    /// Gives an instance up whose first boot will never be asked for.
    pub(super) fn abandon(&mut self, reason: &str) {
        self.journal.say(format!("given up: {reason}"));
        self.kill_guest();
        self.state = State::Over(Ended::Abandoned, Instant::now() + FAREWELL);
    }

    /// Kills everything inside. PID 1 takes its namespace along; what came before it dies with its parent.
    pub(super) fn kill_guest(&mut self) {
        if let Some(guest) = &self.guest {
            // Gone already is as good.
            let _ = process::send_signal(&guest.pidfd, SIGKILL);
        }
        if let Some(host) = &self.host {
            host.cgroups.kill();
        }
    }

    /// Kills the guest because the daemon wants it; its end is reported as any other.
    pub(super) fn quit(&mut self) {
        self.wanted = Wanted::Ended;
        self.kill_guest();
        match &self.state {
            State::Preparing(_) | State::Waiting(_) => self.abandon("the daemon wants it"),
            State::Rebooting(_) => self.end(Exit::Killed { signal: SIGKILL }),
            State::Booting(..) | State::Running | State::Over(..) => {}
        }
    }

    /// Begins an ordered stop, by the signal given or the init's own.
    pub(super) fn begin_stop(&mut self, signal: Option<i32>) {
        let Some(guest) = &self.guest else { return };
        self.wanted = Wanted::Ended;
        let running = running_name(guest.pid).and_then(|name| kind_by_name(&name));
        let kind = match guest.kind {
            InitKind::Other => running.unwrap_or(InitKind::Other),
            told => told,
        };
        let method = match signal {
            Some(signal) => StopMethod { signal, command: Vec::new(), first: First::Signal },
            None => stop_method(kind),
        };
        let now = Instant::now();
        self.stop = Some(Stop::new(method, now));
        self.advance_stop(now);
    }

    pub(super) fn advance_stop(&mut self, now: Instant) {
        let (Some(stop), Some(guest)) = (&mut self.stop, &self.guest) else { return };
        let pid = guest.pid;
        match stop.next(now, |signal| stop::listens(pid, signal)) {
            Action::Wait => {}
            Action::Signal(signal) => {
                let outcome = process::send_signal(&guest.pidfd, signal);
                self.journal.say(match outcome {
                    Ok(()) => format!("stop: signal {signal} to init"),
                    Err(error) => format!("stop: {error}: {}", error.io()),
                });
            }
            Action::Run(command) => {
                self.journal.say(format!("stop: running {} inside", command.join(" ")));
                self.run_inside(command);
            }
        }
    }
}

fn early_end(exit: process::Exit) -> BootFailure {
    BootFailure {
        step: "boot".into(),
        object: format!("PID 1 ended before it executed init: {exit}"),
        errno: 0,
        remedy: Some(
            "if it was killed, a limit on memory may be too small for the boot; the host's kernel log says"
                .into(),
        ),
    }
}
