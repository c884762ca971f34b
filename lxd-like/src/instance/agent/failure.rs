//! What agents tell of failures, as errors of the daemon.

use sc_agent_protocol::{BootFailure, Phase, Reply};
use sc_api::{ErrorKind, plain};

use crate::error::Error;

pub(super) fn gone() -> Error {
    Error::internal("the connection to the instance's agent has ended")
}

pub(super) fn unexpected(what: &str, reply: &Reply) -> Error {
    match reply {
        Reply::Unsupported => Error::new(
            ErrorKind::Unavailable,
            format!("{what}: the instance was started by an older sc: restart it"),
        ),
        Reply::WrongPhase(Phase::Waiting | Phase::Booting) => {
            Error::invalid(format!("{what}: the guest is just rebooting: try again"))
        }
        Reply::WrongPhase(_) => Error::invalid(format!("{what}: the guest does not run: start it")),
        Reply::Failed(failure) => boot_failure(failure),
        Reply::ExecFailed { step, errno } => {
            let cause = std::io::Error::from_raw_os_error(*errno);
            Error::internal(format!("{what}: {step}: {cause}"))
        }
        _ => Error::internal(format!("{what}: the agent's answer does not fit the request")),
    }
}

/// The error of a boot that failed inside the agent.
pub fn boot_failure(failure: &BootFailure) -> Error {
    let mut text = format!("{} {}", failure.step, failure.object);
    if failure.errno != 0 {
        text = format!("{text}: {}", std::io::Error::from_raw_os_error(failure.errno));
    }
    if let Some(remedy) = &failure.remedy {
        text = format!("{text} ({remedy})");
    }
    Error::invalid(text)
}

/// How much of a program's name an error shows.
const NAME_SHOWN: usize = 256;

/// A program's name as errors show it: without the middle of a long one.
pub fn shown(program: &str) -> String {
    plain(program, NAME_SHOWN)
}

/// The error of a program that could not be started, in LXD's words where it has some.
pub(super) fn exec_failure(program: &str, step: &str, errno: i32) -> Error {
    use rustix::io::Errno;
    let errno = Errno::from_raw_os_error(errno);
    let (name, step) = (shown(program), plain(step, NAME_SHOWN));
    match errno {
        Errno::NOENT if step == "execve" => {
            Error::not_found(format!("Command \"{name}\" not found"))
        }
        Errno::ACCESS | Errno::NOEXEC if step == "execve" => {
            Error::new(ErrorKind::Forbidden, format!("Command \"{name}\" not executable"))
        }
        Errno::NAMETOOLONG | Errno::LOOP if step == "execve" => {
            Error::invalid(format!("field \"command\": start {name} inside: {errno}"))
        }
        Errno::TOOBIG if step == "execve" => Error::invalid(format!(
            "start {name} inside: {errno} (E2BIG): the kernel takes 128 KiB in one argument or variable, \
             and a quarter of the stack's limit (2 MiB mostly) in all: hand them over in a file or by \
             standard input"
        )),
        // The working directory is the caller's choice.
        errno if step.starts_with("enter directory") => Error::invalid(format!("{step}: {errno}")),
        errno => Error::internal(format!("start {name} inside: {step}: {errno}")),
    }
}
