//! The child's side of [`Spawn`](super::Spawn), between its birth and the program that it executes.
//!
//! It shares memory with a program whose threads go on: in [`main`] and below nothing may allocate, lock or
//! panic.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::spawn::{Program, Spawn};
use crate::namespace::Namespaces;
use crate::process::reset_signals_raw;

/// Everything that the child needs, in memory that stays where it is.
pub(super) struct Plan<'p> {
    executable: Option<RawFd>,
    path: *const c_char,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    descriptors: Vec<Placement>,
    /// The number above all those wanted.
    above: RawFd,
    namespaces: &'p [(BorrowedFd<'p>, Namespaces)],
    join: &'p [BorrowedFd<'p>],
    own_session: bool,
}

impl<'p> Plan<'p> {
    pub(super) fn new(spawn: &'p Spawn<'_>, null: &OwnedFd) -> Self {
        let pointers = |texts: &[CString]| {
            let ends = std::iter::once(std::ptr::null());
            texts.iter().map(|text| text.as_ptr()).chain(ends).collect()
        };
        let mut descriptors: Vec<_> = spawn
            .descriptors
            .iter()
            .map(|(number, fd)| Placement::new(*number, fd.as_raw_fd()))
            .collect();
        for number in 0..3 {
            if descriptors.iter().all(|other| other.number != number) {
                descriptors.push(Placement::new(number, null.as_raw_fd()));
            }
        }
        let (executable, path) = match &spawn.program {
            Program::Fd(fd) => (Some(fd.as_raw_fd()), c"".as_ptr()),
            Program::Path(path) => (None, path.as_ptr()),
        };
        Self {
            executable,
            path,
            argv: pointers(&spawn.argv),
            environment: pointers(&spawn.environment),
            above: descriptors.iter().map(|p| p.number + 1).max().unwrap_or(3),
            descriptors,
            namespaces: &spawn.namespaces,
            join: &spawn.join,
            own_session: spawn.own_session,
        }
    }
}

/// A descriptor and the number that it gets.
struct Placement {
    number: RawFd,
    source: RawFd,
    /// Where the child keeps it meanwhile.
    copy: Cell<RawFd>,
}

impl Placement {
    fn new(number: RawFd, source: RawFd) -> Self {
        Self { number, source, copy: Cell::new(-1) }
    }
}

/// Where the child failed.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Join,
    Enter,
    Session,
    Descriptors,
    Execute,
}

impl Step {
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Join => "enter cgroup for",
            Self::Enter => "enter namespace for",
            Self::Session => "start session for",
            Self::Descriptors => "pass descriptors to",
            Self::Execute => "execute",
        }
    }
}

/// What kept the child from executing; an errno of 0 means nothing did.
pub(super) struct Report {
    pub(super) step: Step,
    pub(super) errno: i32,
}

/// What the child gets.
pub(super) struct Job<'p> {
    pub(super) plan: *const Plan<'p>,
    pub(super) report: *mut Report,
}

/// What the child runs; its argument is a [`Job`].
pub(super) extern "C" fn main(argument: *mut c_void) -> ! {
    // SAFETY: `start` passes a `Job` whose pointers are valid until this process executes or exits, and
    // waits for that without touching them.
    unsafe {
        let job = &*argument.cast::<Job<'_>>();
        let (step, errno) = prepare_and_execute(&*job.plan);
        *job.report = Report { step, errno };
        libc::_exit(127)
    }
}

/// Returns only when something failed.
///
/// # Safety
///
/// For a child that shares memory: nothing in here may allocate, lock or panic.
unsafe fn prepare_and_execute(plan: &Plan<'_>) -> (Step, i32) {
    // SAFETY: system calls on numbers and on memory that `plan` keeps alive.
    unsafe {
        for procs in plan.join {
            if libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) < 0 {
                return (Step::Join, errno());
            }
        }
        for (namespace, kind) in plan.namespaces {
            if libc::setns(namespace.as_raw_fd(), kind.bits() as libc::c_int) < 0 {
                return (Step::Enter, errno());
            }
        }
        if plan.own_session && libc::setsid() < 0 {
            return (Step::Session, errno());
        }
        let executable = match place_descriptors(plan) {
            Ok(executable) => executable,
            Err(errno) => return (Step::Descriptors, errno),
        };
        reset_signals_raw();
        let (argv, environment) = (plan.argv.as_ptr(), plan.environment.as_ptr());
        match executable {
            Some(fd) => {
                let flags = libc::AT_EMPTY_PATH;
                libc::syscall(libc::SYS_execveat, fd, plan.path, argv, environment, flags);
            }
            None => {
                libc::execve(plan.path, argv, environment);
            }
        }
        (Step::Execute, errno())
    }
}

/// Puts every descriptor under its number and lets the rest be closed. Returns where the executable is.
///
/// # Safety
///
/// As [`prepare_and_execute`].
unsafe fn place_descriptors(plan: &Plan<'_>) -> Result<Option<RawFd>, i32> {
    // SAFETY: system calls on numbers; the descriptor table is the child's own copy.
    unsafe {
        // Everything out of the way of the wanted numbers first, since one may be another's source.
        let aside = |fd: RawFd| match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, plan.above) {
            ..0 => Err(errno()),
            copy => Ok(copy),
        };
        let executable = match plan.executable {
            Some(fd) => Some(aside(fd)?),
            None => None,
        };
        for placement in &plan.descriptors {
            placement.copy.set(aside(placement.source)?);
        }
        for number in 0..plan.above {
            // Marks what lies here, if anything does; the wanted ones are replaced below.
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        for placement in &plan.descriptors {
            // A duplicate without the flag: this one stays open.
            if libc::dup2(placement.copy.get(), placement.number) < 0 {
                return Err(errno());
            }
        }
        let from = plan.above as libc::c_uint;
        libc::syscall(libc::SYS_close_range, from, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        Ok(executable)
    }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
