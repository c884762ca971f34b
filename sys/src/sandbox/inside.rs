//! The side of the program that was executed anew: it sets the sandbox up, and watches over it.

use std::convert::Infallible;
use std::error::Error as _;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::outside::{Ended, Limits};
use super::spec::Received;
use super::{calls, root};
use crate::Context;
use crate::caps::{self, Capability};
use crate::error::{Result, SysError};
use crate::namespace::{self, Namespaces};
use crate::process::{
    self, Child, CloneOptions, DeathSignal, Exit, Limit, Resource, Wait, spawn_child,
};
use crate::unix::{Blocking, Seqpacket};

/// What the work is given.
#[derive(Debug)]
pub struct Inside {
    /// The caller's bytes.
    pub payload: Vec<u8>,
    /// The caller's inputs, in its order.
    pub inputs: Vec<OwnedFd>,
}

/// Sets the sandbox up that the caller on standard input asks for, and runs `work` in it. Returns the
/// exit code for the process once nothing of the sandbox is left.
///
/// Call it first thing in the main function: the process must have one thread only.
pub fn enter(work: impl FnOnce(Inside) -> u8) -> u8 {
    let mut control = match rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)
        .op("take", "control socket")
        .and_then(Seqpacket::from_fd)
    {
        Ok(control) => Some(control),
        Err(error) => {
            eprintln!("sandbox: {}: this is started by its parent, not by hand", chain(&error));
            return 2;
        }
    };
    let started = start(&mut control, work);
    let Some(control) = control else {
        // Only the child gives it up, and the child never comes here.
        return 2;
    };
    let ended = match started {
        Ok(Some(started)) => watch(&control, started),
        // The caller has gone.
        Ok(None) => return 1,
        Err(error) => Ended::NotSetUp(chain(&error)),
    };
    // A caller that does not listen has no use for it.
    let _ = control.send(ended.encode().as_bytes(), &[]);
    match ended {
        Ended::Exited(code) => u8::try_from(code).unwrap_or(1),
        _ => 1,
    }
}

/// An error with its causes in one line.
fn chain(error: &SysError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A child that has been started.
struct Started {
    child: Child,
    wall: Duration,
    /// The host id that it becomes.
    host_id: u32,
    /// Says when it is set up, and hears when it may begin.
    gate: Seqpacket,
}

/// Starts the child. `None` when there is nobody to work for.
fn start(
    control: &mut Option<Seqpacket>,
    work: impl FnOnce(Inside) -> u8,
) -> Result<Option<Started>> {
    let Some(message) = control.as_ref().map_or(Ok(None), Seqpacket::receive)? else {
        return Ok(None);
    };
    let received = Received::from_message(message)?;
    let (wall, host_id) = (received.limits.wall, received.host_id);
    let (gate, theirs) = Seqpacket::pair(Blocking::Yes)?;
    let mut ours = Some(gate);
    let parent = process::open_pidfd(std::process::id().cast_signed())?;
    let namespaces = Namespaces::NEWNS
        | Namespaces::NEWPID
        | Namespaces::NEWNET
        | Namespaces::NEWIPC
        | Namespaces::NEWUTS
        | Namespaces::NEWCGROUP;
    let options = CloneOptions { namespaces, ..CloneOptions::default() };
    // The parent's copies of all descriptors are closed when this function returns.
    let child = spawn_child(&options, || {
        drop(ours.take());
        child_main(control, received, parent, theirs, work)
    })?;
    Ok(ours.map(|gate| Started { child, wall, host_id, gate }))
}

/// Waits until the child is set up, lets it begin, and waits for its end, the caller's end, or the end
/// of its time.
fn watch(control: &Seqpacket, started: Started) -> Ended {
    let Started { child, wall, host_id, gate } = started;
    let deadline = Instant::now().checked_add(wall);
    let mut out = wait(control, &child, Some(&gate), deadline);
    if out == Event::Ready {
        match open(&gate, host_id) {
            Ok(()) => out = wait(control, &child, None, deadline),
            Err(error) => {
                end(&child);
                return Ended::NotSetUp(chain(&error));
            }
        }
    }
    match end(&child) {
        Some(_) if out == Event::TimedOut => Ended::TimedOut,
        Some(Exit::Code(code)) => Ended::Exited(code),
        Some(Exit::Signal(signal)) => Ended::Signaled(signal),
        None => Ended::NotSetUp("wait for the sandboxed process".to_owned()),
    }
}

/// What was waited for.
#[derive(PartialEq, Eq)]
enum Event {
    /// The child is set up, or has ended before that.
    Ready,
    /// The child or its caller has ended.
    Over,
    TimedOut,
}

fn wait(
    control: &Seqpacket,
    child: &Child,
    gate: Option<&Seqpacket>,
    deadline: Option<Instant>,
) -> Event {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Event::TimedOut;
        }
        let child = child.pidfd();
        let mut poll =
            vec![PollFd::new(&child, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        poll.extend(gate.map(|gate| PollFd::new(gate, PollFlags::IN)));
        let wait = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut poll, wait.as_ref()) {
            // The caller says nothing any more: whatever comes from it is its end.
            Ok(1..) if poll[..2].iter().any(|fd| !fd.revents().is_empty()) => return Event::Over,
            Ok(1..) => return Event::Ready,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Without a way to wait there is no way to keep watch.
            Err(_) => return Event::Over,
        }
    }
}

/// Lets the child begin, once nothing is left here that foreign bytes could be after. Only the child's
/// own id remains, by which it can still be killed; it cannot kill back, from its pid namespace.
fn open(gate: &Seqpacket, host_id: u32) -> Result<()> {
    if gate.receive()?.is_none() {
        // It has ended; why is told by its exit, or was told by itself.
        return Ok(());
    }
    process::no_new_privileges()?;
    caps::empty_bounding_set()?;
    process::set_gid_uid(host_id, host_id, Some(&[]))?;
    gate.send(&[0], &[])
}

/// Ends the child and waits for it. `None` when that fails.
fn end(child: &Child) -> Option<Exit> {
    // Kills everything in its pid namespace; one that has ended already does not mind.
    match child.wait(Wait::Poll) {
        Ok(Some(exit)) => Some(exit),
        _ => {
            child.kill();
            child.wait(Wait::Block).ok().flatten()
        }
    }
}

/// The child: host root in new namespaces, until it has given that up.
fn child_main(
    control: &mut Option<Seqpacket>,
    received: Received,
    parent: OwnedFd,
    gate: Seqpacket,
    work: impl FnOnce(Inside) -> u8,
) -> Infallible {
    let inside = match become_nobody(received, &parent) {
        Ok(inside) => inside,
        Err(error) => {
            if let Some(control) = control {
                let text = Ended::NotSetUp(chain(&error)).encode();
                let _ = control.send(text.as_bytes(), &[]);
            }
            std::process::exit(1)
        }
    };
    drop(parent);
    // The work has no way to speak for the parent.
    drop(control.take());
    let begin = gate.send(&[0], &[]).and_then(|()| gate.receive());
    drop(gate);
    if !matches!(begin, Ok(Some(_))) {
        // The parent ends it anyway, and says why.
        std::process::exit(1)
    }
    std::process::exit(i32::from(work(inside)))
}

fn become_nobody(received: Received, parent: &OwnedFd) -> Result<Inside> {
    let Received { userns, inputs, mounts, target, capabilities, limits, payload, .. } = received;
    process::reset_signals()?;
    // A file that grows too large shall be an error of the write that does it, not the end.
    ignore_signal(libc::SIGXFSZ)?;
    let null = fs::File::open("/dev/null").op("open", "/dev/null")?;
    rustix::stdio::dup2_stdin(&null).op("replace", "standard input")?;
    root::change(mounts, target)?;
    // From here on there is no way back to the host's files, and none to its privileges after this.
    namespace::enter(&userns, Namespaces::NEWUSER)?;
    drop(userns);
    process::set_gid_uid(0, 0, Some(&[]))?;
    process::set_umask(0);
    limit(&limits)?;
    process::no_new_privileges()?;
    drop_capabilities(capabilities)?;
    calls::refuse()?;
    // Last, because a change of ids clears it.
    process::set_death_signal(DeathSignal::Kill)?;
    if has_ended(parent.as_fd())? {
        let gone = io::Error::from_raw_os_error(libc::ESRCH);
        return Err(SysError::new("find", "parent process", gone));
    }
    Ok(Inside { payload, inputs })
}

fn ignore_signal(signal: libc::c_int) -> Result<()> {
    // SAFETY: no handler is installed that could run.
    let old = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if old == libc::SIG_ERR {
        return Err(SysError::new("ignore signal", signal, io::Error::last_os_error()));
    }
    Ok(())
}

fn has_ended(process: BorrowedFd<'_>) -> Result<bool> {
    let mut poll = [PollFd::new(&process, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = rustix::event::poll(&mut poll, Some(&now)).op("look at", "parent process")?;
    Ok(ready > 0)
}

/// Keeps a set. What allows dropping goes last.
fn drop_capabilities(kept: u64) -> Result<()> {
    const ALLOWS: Capability = Capability::CAP_SETPCAP;
    let others = ::caps::all().into_iter().filter(|c| *c != ALLOWS && kept & c.bitmask() == 0);
    let dropped: Vec<_> = others.chain([ALLOWS]).collect();
    caps::restrict(&dropped)
}

fn limit(limits: &Limits) -> Result<()> {
    let table = [
        (Resource::As, limits.memory),
        (Resource::Cpu, limits.cpu.as_secs().max(1)),
        (Resource::Fsize, limits.file_size),
        (Resource::Nproc, limits.processes),
        (Resource::Nofile, limits.open_files),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ];
    for (resource, value) in table {
        process::set_limit(resource, Limit { soft: Some(value), hard: Some(value) })?;
    }
    Ok(())
}
