//! Starts a program and leaves it: from a descriptor or a path, with exactly the descriptors it is given.

use std::ffi::{CString, OsStr, c_void};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::fs::{Mode, OFlags};

use super::child::{self, Job, Plan, Report, Step};
use crate::Context;
use crate::error::{Result, SysError};
use crate::namespace::Namespaces;
use crate::process::Child;
use crate::process::vfork::{VforkOptions, vfork};

/// What is executed.
pub(super) enum Program<'a> {
    Fd(BorrowedFd<'a>),
    Path(CString),
}

/// A program to be started.
///
/// The child shares memory with the caller until it executes, so that a big daemon does not stall. Signals
/// are at their defaults in it, SIGPIPE included; standard input, output and error are `/dev/null` unless
/// given; every other descriptor is closed.
pub struct Spawn<'a> {
    pub(super) program: Program<'a>,
    pub(super) argv: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) descriptors: Vec<(RawFd, BorrowedFd<'a>)>,
    pub(super) namespaces: Vec<(BorrowedFd<'a>, Namespaces)>,
    cgroup: Option<BorrowedFd<'a>>,
    pub(super) join: Vec<BorrowedFd<'a>>,
    pub(super) own_session: bool,
    invalid: Option<&'static str>,
}

impl<'a> Spawn<'a> {
    /// Starts with an executable's descriptor (a memory file's, for instance); not a script's.
    pub fn from_fd(executable: BorrowedFd<'a>, name: impl AsRef<OsStr>) -> Self {
        Self::new(Program::Fd(executable), name.as_ref())
    }

    /// Starts with an executable's path.
    pub fn from_path(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().as_os_str();
        let c_path = CString::new(path.as_bytes());
        let invalid = c_path.is_err();
        let mut spawn = Self::new(Program::Path(c_path.unwrap_or_default()), path);
        if invalid {
            spawn.invalid = Some("a path with a null byte");
        }
        spawn
    }

    fn new(program: Program<'a>, name: &OsStr) -> Self {
        let mut spawn = Self {
            program,
            argv: Vec::new(),
            environment: Vec::new(),
            descriptors: Vec::new(),
            namespaces: Vec::new(),
            cgroup: None,
            join: Vec::new(),
            own_session: false,
            invalid: None,
        };
        spawn.push_arg(name);
        spawn
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.push_arg(argument.as_ref());
        self
    }

    /// Sets a variable of its environment, which starts empty.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let mut text = key.as_ref().as_bytes().to_vec();
        text.push(b'=');
        text.extend(value.as_ref().as_bytes());
        match CString::new(text) {
            Ok(text) => self.environment.push(text),
            Err(_) => self.invalid = Some("a variable with a null byte"),
        }
        self
    }

    /// Hands a descriptor on under the given number.
    #[must_use]
    pub fn fd(mut self, number: RawFd, fd: BorrowedFd<'a>) -> Self {
        self.descriptors.retain(|(other, _)| *other != number);
        self.descriptors.push((number, fd));
        self
    }

    /// Lets it be born into a cgroup2 directory.
    #[must_use]
    pub fn cgroup(mut self, directory: BorrowedFd<'a>) -> Self {
        self.cgroup = Some(directory);
        self
    }

    /// Lets it enter a cgroup before it executes, through an open `cgroup.procs` (v1 hierarchies).
    #[must_use]
    pub fn join(mut self, procs: BorrowedFd<'a>) -> Self {
        self.join.push(procs);
        self
    }

    /// Lets it enter a namespace before it executes.
    #[must_use]
    pub fn enter(mut self, namespace: BorrowedFd<'a>, kind: Namespaces) -> Self {
        self.namespaces.push((namespace, kind));
        self
    }

    /// Starts a session of its own, so that no terminal's signals reach it.
    #[must_use]
    pub fn own_session(mut self) -> Self {
        self.own_session = true;
        self
    }

    fn push_arg(&mut self, argument: &OsStr) {
        match CString::new(argument.as_bytes()) {
            Ok(argument) => self.argv.push(argument),
            Err(_) => self.invalid = Some("an argument with a null byte"),
        }
    }

    /// Starts it; returns once it executes.
    ///
    /// # Errors
    ///
    /// The step that failed in the child ("execute", "enter namespace", …) and why.
    pub fn start(&self) -> Result<Child> {
        let name = self.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        if let Some(text) = self.invalid {
            return Err(SysError::message("start", name, io::ErrorKind::InvalidInput, text));
        }
        let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .op("open", "/dev/null")?;
        let plan = Plan::new(self, &null);
        let mut report = Report { step: Step::Execute, errno: 0 };
        let job = Job { plan: &plan, report: &raw mut report };
        let options = VforkOptions { cgroup: self.cgroup, exit_signal: libc::SIGCHLD };
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).op("block", "signals")?;
        // SAFETY: all signals are blocked; the child uses `plan` and writes `report`, which this thread does
        // not look at before the call returns, and otherwise only makes system calls.
        let outcome =
            unsafe { vfork(&options, child::main, (&raw const job).cast_mut().cast::<c_void>()) };
        // The mask was valid a moment ago.
        let _ = mask.thread_set_mask();
        let child = outcome.op("clone for", &name)?;
        if report.errno != 0 {
            let _ = child.wait(crate::process::Wait::Block);
            let error = io::Error::from_raw_os_error(report.errno);
            return Err(SysError::new(report.step.verb(), name, error));
        }
        Ok(child)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{AsFd, AsRawFd};

    use super::*;
    use crate::process::{Exit, Wait};

    fn run(spawn: &Spawn<'_>) -> Exit {
        spawn.start().unwrap().wait(Wait::Block).unwrap().unwrap()
    }

    #[test]
    fn the_program_has_the_given_descriptors_and_no_others() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let stray = File::open("/dev/zero").unwrap();
        // A descriptor that would survive an execution.
        let _inheritable = rustix::io::dup(&stray).unwrap();
        let spawn = Spawn::from_path("/bin/ls")
            .arg("/proc/self/fd")
            .env("LC_ALL", "C")
            .fd(1, write.as_fd())
            .fd(5, stray.as_fd());
        assert_eq!(run(&spawn), Exit::Code(0));
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        // 3 is the directory that ls itself reads.
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3", "5"]);
    }

    #[test]
    fn descriptors_may_swap_numbers() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (a, b) = (write.as_raw_fd(), read.as_raw_fd());
        let script = format!("echo hi >&{b}; read -r line <&{a}; test \"$line\" = hi");
        let spawn = Spawn::from_path("/bin/bash")
            .arg("-c")
            .arg(script)
            .fd(b, write.as_fd())
            .fd(a, read.as_fd());
        assert_eq!(run(&spawn), Exit::Code(0));
    }

    #[test]
    fn a_program_is_started_from_a_sealed_memory_file() {
        let bytes = std::fs::read("/bin/true").unwrap();
        let fd = crate::memfd::sealed("true", &bytes, crate::memfd::Content::Program).unwrap();
        assert_eq!(run(&Spawn::from_fd(fd.as_fd(), "true")), Exit::Code(0));
    }

    #[test]
    fn signals_are_at_their_defaults_in_the_program() {
        // The test runner ignores SIGPIPE, as every Rust program does.
        let (read, write) = rustix::pipe::pipe().unwrap();
        let spawn = Spawn::from_path("/bin/cat").arg("/proc/self/status").fd(1, write.as_fd());
        assert_eq!(run(&spawn), Exit::Code(0));
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        for key in ["SigBlk:", "SigIgn:"] {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap();
            assert!(line.ends_with("0000000000000000"), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_executed_is_an_error_of_the_start() {
        let error = Spawn::from_path("/no/such/program").start().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
        assert_eq!(error.op(), "execute");
    }
}
