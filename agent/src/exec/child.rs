//! The side of the process that becomes the program, in run order.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use sc_agent_protocol::{ExecRequest, ExecWords};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::process::{
    become_session_leader, close_from, close_inherited_but, join_session_keyring,
    set_controlling_terminal, set_gid_uid,
};
use sc_sys::resolve::Root;
use sc_sys::{Result, SysError};

use super::ExecFailure;
use super::stdio::Stdio;
use crate::birth;
use crate::environment::{Environment, PATH};
use crate::host::Host;
use crate::passwd;
use crate::stdio::use_as_stdio;

/// A program in a terminal whose client did not say which.
const TERM: &str = "xterm";
/// What runs a script that names no interpreter.
const SHELL: &str = "/bin/sh";

/// What the process needs.
pub(super) struct Task<'a> {
    pub host: &'a Host,
    pub init: BorrowedFd<'a>,
    pub request: &'a ExecRequest,
    pub words: Option<&'a OwnedFd>,
    pub environment: &'a [(String, String)],
    pub stdio: &'a Stdio,
}

/// Becomes the program, or says through the pipe why not.
pub(super) fn run(task: &Task<'_>, tell: &OwnedFd) -> Infallible {
    let failure = match become_program(task, tell) {
        Err(failure) => failure,
        Ok(never) => return never,
    };
    let bytes = serde_json::to_vec(&failure).expect("failures serialise");
    // An agent that has gone hears nothing.
    let _ = rustix::io::write(tell, &bytes);
    std::process::exit(1)
}

fn become_program(task: &Task<'_>, tell: &OwnedFd) -> std::result::Result<Infallible, ExecFailure> {
    birth::prepare_outside()?;
    let words = words(task)?;
    task.host.cgroups.enter_v1()?;
    let wanted = Namespaces::NEWUSER
        | Namespaces::NEWNS
        | Namespaces::NEWNET
        | Namespaces::NEWIPC
        | Namespaces::NEWUTS
        | Namespaces::NEWCGROUP;
    namespace::enter(task.init, wanted)?;
    set_gid_uid(0, 0, Some(&[]))?;
    // From here on the guest's root is this process's equal, and may not look into it: it still holds what
    // the agent holds.
    birth::hide_from_guest()?;
    join_session_keyring()?;
    become_session_leader()?;
    set_stdio(task.stdio)?;
    // The guest's files come next, and may keep this process for ever: what the agent holds is not held by it
    // as well.
    close_inherited_but(tell.as_fd())?;
    let environment = environment(task, &words.environment)?;
    birth::prepare_inside()?;
    if let Some(program) = &task.host.seccomp {
        sc_sys::filter::install(program)?;
    }
    let (user, group) = (task.request.user, task.request.group);
    if (user, group) != (0, 0) {
        set_gid_uid(user, group, Some(&[]))?;
        birth::hide_from_guest()?;
    }
    // As the user: where he may not go his program does not start.
    enter_directory(task.request, &environment)?;
    close_from(3)?;
    execute(&words.command, &environment)
}

/// What the program is given. A long one is read here: so the agent neither waits for it nor keeps its memory.
fn words(task: &Task<'_>) -> Result<ExecWords> {
    let Some(fd) = task.words else { return Ok(task.request.clone().take_words()) };
    let object = "command and environment";
    let mut bytes = Vec::new();
    let read = fd.try_clone().and_then(|fd| File::from(fd).read_to_end(&mut bytes));
    read.map_err(|error| SysError::new("read", object, error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| SysError::new("read", object, io::Error::from(error)))
}

fn set_stdio(stdio: &Stdio) -> Result<()> {
    match stdio {
        Stdio::Streams([input, output, error]) => rustix::stdio::dup2_stdin(input)
            .and_then(|()| rustix::stdio::dup2_stdout(output))
            .and_then(|()| rustix::stdio::dup2_stderr(error))
            .map_err(|error| SysError::new("duplicate", "stream", error)),
        Stdio::Terminal(pty) => {
            set_controlling_terminal(&pty.terminal)?;
            use_as_stdio(pty.terminal.as_fd())
        }
    }
}

/// Puts the environment together: what LXD gives, the instance's, the request's.
fn environment(task: &Task<'_>, asked: &[(String, String)]) -> Result<Environment> {
    let root = Root::open_dir("/")?;
    let user = passwd::look_up(&root, task.request.user);
    let mut environment = Environment::default();
    environment.set("container", "lxc");
    environment.set("PATH", &path(&root));
    environment.set("LANG", "C.UTF-8");
    match (&user, task.request.user) {
        (Some(user), _) => {
            environment.set("HOME", &user.home);
            environment.set("USER", &user.name);
        }
        (None, 0) => {
            environment.set("HOME", "/root");
            environment.set("USER", "root");
        }
        (None, _) => environment.set("HOME", "/"),
    }
    environment.overlay(task.environment);
    environment.overlay(asked);
    if matches!(task.stdio, Stdio::Terminal(_)) {
        environment.set_default("TERM", TERM);
    }
    Ok(environment)
}

fn path(root: &Root) -> String {
    if root.exists("/snap/bin") { format!("{PATH}:/snap/bin") } else { PATH.to_owned() }
}

fn enter_directory(
    request: &ExecRequest,
    environment: &Environment,
) -> std::result::Result<(), ExecFailure> {
    if let Some(wanted) = &request.cwd {
        return std::env::set_current_dir(wanted)
            .map_err(|error| SysError::new("enter directory", wanted, error).into());
    }
    let home = environment.get("HOME").unwrap_or("/");
    if std::env::set_current_dir(home).is_err() {
        std::env::set_current_dir("/")
            .map_err(|error| SysError::new("enter directory", "/", error))?;
    }
    Ok(())
}

/// Executes the program, looked for in PATH as execvp(3) does it.
fn execute(
    command: &[String],
    environment: &Environment,
) -> std::result::Result<Infallible, ExecFailure> {
    let failure = |errno: Errno| ExecFailure { step: "execve".into(), errno: errno as i32 };
    let arguments: std::result::Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.as_str())).collect();
    let arguments = arguments.map_err(|_| failure(Errno::EINVAL))?;
    let Some(program) = command.first().filter(|name| !name.is_empty()) else {
        return Err(failure(Errno::ENOENT));
    };
    let variables = environment.to_strings();
    let mut worst = Errno::ENOENT;
    for candidate in candidates(program, environment.get("PATH").unwrap_or(PATH)) {
        let Ok(path) = CString::new(candidate.as_str()) else { continue };
        let Err(errno) = nix::unistd::execve(&path, &arguments, &variables);
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // Something is there but not for this user: unless a later folder has it, that is the reason.
            Errno::EACCES => worst = errno,
            Errno::ENOEXEC if !is_binary(&candidate) => {
                return Err(failure(run_by_shell(&candidate, &arguments, &variables)));
            }
            other => return Err(failure(other)),
        }
    }
    Err(failure(worst))
}

fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        .map(|folder| if folder.is_empty() { "." } else { folder })
        .map(|folder| format!("{}/{program}", folder.trim_end_matches('/')))
        .collect()
}

fn is_binary(path: &str) -> bool {
    let mut magic = [0_u8; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == b"\x7fELF"
}

fn run_by_shell(script: &str, arguments: &[CString], variables: &[CString]) -> Errno {
    let (Ok(shell), Ok(script)) = (CString::new(SHELL), CString::new(script)) else {
        return Errno::EINVAL;
    };
    let mut all = vec![shell.clone(), script];
    all.extend(arguments.iter().skip(1).cloned());
    let Err(errno) = nix::unistd::execve(&shell, &all, variables);
    errno
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_every_folder_and_a_path_is_not() {
        assert_eq!(candidates("ls", "/bin:/usr/bin/:"), ["/bin/ls", "/usr/bin/ls", "./ls"]);
        assert_eq!(candidates("./ls", "/bin"), ["./ls"]);
    }
}
