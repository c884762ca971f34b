//! The tracer: one thread, which is the tracer of each thread of the daemon and of its agents.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{self, Member};
use super::object::{self, Object};
use super::{Armed, Fault, Hit, Whose, lock};

/// No call of the kernel's has this number.
const NO_CALL: u64 = u64::MAX;

/// A traced thread.
#[derive(Debug, Clone, Copy)]
struct Task {
    whose: Whose,
    /// It comes out of a call that was not made, to find this error.
    failing: Option<Errno>,
}

struct Tracer<'a> {
    tasks: HashMap<Pid, Task>,
    /// The sockets of the daemon's runtime.
    runtime: BTreeSet<String>,
    armed: &'a Mutex<Armed>,
}

/// Traces a daemon from now on until it and its agents have ended.
pub fn trace(daemon: c_int, armed: &Mutex<Armed>, begun: &Sender<Result<(), Errno>>) {
    let daemon = Pid::from_raw(daemon);
    let runtime = object::pairs(daemon);
    let mut tracer = Tracer { tasks: HashMap::new(), runtime, armed };
    let seized = tracer.seize(daemon);
    let failed = seized.is_err();
    // Whoever waits for that has panicked if it is not there any more.
    let _ = begun.send(seized);
    while !failed && tracer.step() {}
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
}

impl Tracer<'_> {
    /// Takes all threads of the daemon; those that begin later come by themselves.
    fn seize(&mut self, daemon: Pid) -> Result<(), Errno> {
        loop {
            let before = self.tasks.len();
            for thread in threads(daemon) {
                if self.tasks.contains_key(&thread) {
                    continue;
                }
                match ptrace::seize(thread, options()) {
                    Ok(()) => ptrace::interrupt(thread)?,
                    // It has ended, or was taken by its parent's option a moment ago.
                    Err(Errno::ESRCH | Errno::EPERM) => continue,
                    Err(errno) => return Err(errno),
                }
                self.tasks.insert(thread, Task { whose: Whose::Daemon, failing: None });
            }
            if self.tasks.len() == before {
                return Ok(());
            }
        }
    }

    /// Waits for the next stop and lets the thread go on; false when there is nothing left to trace.
    fn step(&mut self) -> bool {
        // Only what this thread traces: children of the test are for others.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = match waitpid(None, Some(flags)) {
            Ok(status) => status,
            Err(Errno::EINTR) => return true,
            Err(_) => return false,
        };
        // A thread may be killed while it is stopped: then there is nothing to be done with it.
        let _ = self.handle(status);
        true
    }

    fn handle(&mut self, status: WaitStatus) -> Result<(), Errno> {
        match status {
            WaitStatus::PtraceSyscall(task) => {
                self.at_call(task)?;
                ptrace::syscall(task, None)
            }
            WaitStatus::PtraceEvent(task, _, libc::PTRACE_EVENT_EXEC) => self.executed(task),
            WaitStatus::PtraceEvent(
                task,
                _,
                libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK,
            ) => {
                let born = Pid::from_raw(ptrace::getevent(task)? as c_int);
                let whose = self.whose(task);
                self.tasks.entry(born).or_insert(Task { whose, failing: None });
                ptrace::syscall(task, None)
            }
            WaitStatus::PtraceEvent(task, ..) => {
                self.whose(task);
                ptrace::syscall(task, None)
            }
            WaitStatus::Stopped(task, signal) => ptrace::syscall(task, deliverable(signal)),
            WaitStatus::Exited(task, _) | WaitStatus::Signaled(task, ..) => {
                self.tasks.remove(&task);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whose a thread is. One whose birth was not told yet is its parent's.
    fn whose(&mut self, task: Pid) -> Whose {
        if let Some(known) = self.tasks.get(&task) {
            return known.whose;
        }
        let parents = ["Tgid:", "PPid:"].map(|field| number(task, field));
        let parent = parents.into_iter().flatten().find_map(|pid| self.tasks.get(&pid).copied());
        let whose = parent.map_or(Whose::Daemon, |parent| parent.whose);
        self.tasks.insert(task, Task { whose, failing: None });
        whose
    }

    /// An agent is traced on; any other program is let go.
    fn executed(&mut self, task: Pid) -> Result<(), Errno> {
        let program = std::fs::read_link(format!("/proc/{task}/exe")).unwrap_or_default();
        if program.to_string_lossy().contains("memfd:sc-agent") {
            self.tasks.insert(task, Task { whose: Whose::Agent, failing: None });
            return ptrace::syscall(task, None);
        }
        self.tasks.remove(&task);
        ptrace::detach(task, None)
    }

    /// At the entry to a call or at the exit from it.
    fn at_call(&mut self, task: Pid) -> Result<(), Errno> {
        let whose = self.whose(task);
        match ptrace::syscall_info(task)?.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                let fault = match &*lock(self.armed) {
                    Armed::Until { fault, .. } if fault.whose == whose => *fault,
                    _ => return Ok(()),
                };
                self.enter(task, fault)
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                let failing = self.tasks.get_mut(&task).and_then(|task| task.failing.take());
                let Some(errno) = failing else { return Ok(()) };
                let mut registers = ptrace::getregs(task)?;
                registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                ptrace::setregs(task, registers)
            }
            _ => Ok(()),
        }
    }

    /// Counts the call, and turns it into one that fails if it is its turn.
    fn enter(&mut self, task: Pid, fault: Fault) -> Result<(), Errno> {
        let mut registers = ptrace::getregs(task)?;
        let Some((_, name, member)) = calls::known(registers.orig_rax.cast_signed()) else {
            return Ok(());
        };
        let object = || Object::of(task, registers.rdi, &self.runtime);
        let set = calls::set_of(*member, [registers.rdi, registers.rsi], object);
        if !calls::is_of(fault.set, set, name, object) {
            return Ok(());
        }
        let begins_thread = *member == Member::Clone && begins_thread(task, name, registers.rdi)?;
        let errno = match fault.errno {
            // What a thread that is to begin may meet.
            Errno::ENOMEM if begins_thread => Errno::EAGAIN,
            _ if begins_thread => return Ok(()),
            errno => errno,
        };
        let mut armed = lock(self.armed);
        let Armed::Until { seen, .. } = &mut *armed else { return Ok(()) };
        *seen += 1;
        if *seen < fault.nth {
            return Ok(());
        }
        let object = Object::of(task, registers.rdi, &self.runtime);
        let call = format!("{name} {}", object.name()).trim_end().to_owned();
        *armed = Armed::Done(Hit { call, thread: comm(task) });
        drop(armed);
        registers.orig_rax = NO_CALL;
        ptrace::setregs(task, registers)?;
        self.tasks.entry(task).and_modify(|task| task.failing = Some(errno));
        Ok(())
    }
}

/// Stops of the tracer's own making are not delivered.
fn deliverable(signal: Signal) -> Option<Signal> {
    (signal != Signal::SIGTRAP).then_some(signal)
}

/// Whether a call that clones begins a thread; `argument` is its first.
fn begins_thread(task: Pid, call: &str, argument: u64) -> Result<bool, Errno> {
    let flags = match call {
        "clone3" => ptrace::read(task, argument as ptrace::AddressType)?.cast_unsigned(),
        "clone" => argument,
        _ => 0,
    };
    Ok(flags & libc::CLONE_THREAD as u64 != 0)
}

fn threads(process: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).map(Pid::from_raw).collect()
}

fn number(task: Pid, field: &str) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{task}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().parse().ok().map(Pid::from_raw)
}

fn comm(task: Pid) -> String {
    let name = std::fs::read_to_string(format!("/proc/{task}/comm")).unwrap_or_default();
    name.trim().to_owned()
}
