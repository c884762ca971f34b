//! The side of the process that becomes PID 1, in run order.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use sc_agent_protocol::{BootFailure, InstanceSpec};
use sc_sys::mount::{self, Depth};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::process::{
    CloneOptions, DeathSignal, become_session_leader, close_from, join_session_keyring,
    set_controlling_terminal, set_death_signal, set_gid_uid, set_host_name, set_umask, spawn_child,
};
use sc_sys::resolve::Root;
use sc_sys::unix::Seqpacket;

use super::sync::{Entry, FromInit, ToInit, receive, send};
use super::{apifs, devices, seeds};
use crate::birth;
use crate::environment::Environment;
use crate::failure::{self, Step, plain};
use crate::host::{GUEST_ROOT, Host, bind_place};
use crate::place::make_place;
use crate::stdio::use_as_stdio;

type Outcome<T> = Result<T, BootFailure>;

/// Runs the starter: enters cgroups and the user namespace, and clones PID 1 as the agent's child.
pub(super) fn starter(spec: &InstanceSpec, host: &Host, sync: Seqpacket) -> Infallible {
    let outcome = start(spec, host, &sync);
    if let Err(failure) = outcome {
        tell_failure(&sync, failure);
        std::process::exit(1);
    }
    std::process::exit(0)
}

fn start(spec: &InstanceSpec, host: &Host, sync: &Seqpacket) -> Outcome<()> {
    bind_to_agent(host)?;
    // The guest's, apart from the agent's. PID 1 is born into it and does not lead it, as on a machine that
    // boots: the leader takes whatever terminal it opens as its own, and unlike a machine's real console
    // /dev/console is one that can be taken.
    become_session_leader().step("start session")?;
    birth::prepare_outside().step("prepare process")?;
    // The slow one first: on v1 this waits for the kernel while the agent mounts.
    host.cgroups.enter_v1().step("enter cgroup")?;
    let Some((ToInit::Enter(entry), descriptors)) =
        receive::<ToInit>(sync).step("wait for the agent")?
    else {
        return Err(abandoned());
    };
    let Ok([user, network]) = <[OwnedFd; 2]>::try_from(descriptors) else {
        return Err(abandoned());
    };
    namespace::enter(user, Namespaces::NEWUSER).step("enter user namespace")?;
    namespace::enter(network, Namespaces::NEWNET).step("enter network")?;
    let namespaces = Namespaces::NEWPID
        | Namespaces::NEWNS
        | Namespaces::NEWUTS
        | Namespaces::NEWIPC
        | Namespaces::NEWCGROUP;
    let options = CloneOptions { namespaces, cgroup: None, as_sibling: true };
    let init = spawn_child(&options, || pid_one(spec, host, &entry, sync)).step("clone PID 1")?;
    send(sync, &FromInit::Cloned(init.pid()), &[]).step("tell the agent")
}

/// Runs PID 1 up to the execution of init.
fn pid_one(spec: &InstanceSpec, host: &Host, entry: &Entry, sync: &Seqpacket) -> Infallible {
    let failure = match set_up(spec, host, entry, sync) {
        Err(failure) => failure,
        Ok(terminal) => match run_init(spec, host, entry, &terminal, sync) {
            Err(failure) => failure,
            Ok(never) => return never,
        },
    };
    tell_failure(sync, failure);
    std::process::exit(1)
}

/// Makes the guest's world: identity, mounts, devices, console. Returns the console's terminal.
fn set_up(spec: &InstanceSpec, host: &Host, entry: &Entry, sync: &Seqpacket) -> Outcome<OwnedFd> {
    set_gid_uid(0, 0, Some(&[])).step("become the guest's root")?;
    // Before anything that can wait, so that no half-made guest outlives its agent.
    bind_to_agent(host)?;
    join_session_keyring().step("join keyring")?;
    set_umask(0);

    let root = enter_root().step("mount root")?;
    if entry.seed {
        seeds::write(&root, &spec.seed_files)?;
    }
    let mut covers = apifs::Covers::default();
    apifs::mount_all(&root, entry.view, &mut covers)?;
    let console = devices::populate(&root, &mut covers)?;
    for (number, bind) in spec.binds.iter().enumerate() {
        let step = format!("show device {} at {}", bind.device, bind.target.display());
        let shown = mount_bind(&root, number, &bind.target);
        shown.map_err(|error| BootFailure {
            remedy: place_remedy(&error).map(str::to_owned),
            ..failure::of(&step, &error)
        })?;
    }
    let descriptors = [console.devpts.as_fd(), console.pty.master.as_fd()];
    send(sync, &FromInit::Prepared, &descriptors).step("tell the agent")?;
    mount::pivot_into(root.fd()).step("pivot into root")?;
    Ok(console.pty.terminal)
}

/// What to do where a device finds no place in the guest.
fn place_remedy(error: &sc_sys::SysError) -> Option<&'static str> {
    let is = |errno: Errno| error.is(errno.raw_os_error());
    // `move_mount(2)` refuses a file over a folder by EINVAL.
    if is(Errno::NOTDIR) || is(Errno::INVAL) {
        return Some(
            "a folder cannot be shown where the guest has a file, nor below one, and a file not where it has \
             a folder; choose another path for the device",
        );
    }
    let bad_path = is(Errno::LOOP) || is(Errno::NAMETOOLONG);
    bad_path.then_some("choose another path for the device")
}

/// Clones the root's mount: the one copied into this namespace is locked to its place.
fn enter_root() -> sc_sys::Result<Root> {
    let tree = mount::clone_tree(GUEST_ROOT, Depth::This)?;
    mount::attach(&tree, GUEST_ROOT)?;
    Ok(Root::new(tree))
}

fn mount_bind(root: &Root, number: usize, target: &Path) -> sc_sys::Result<()> {
    let tree = mount::clone_tree(bind_place(number), Depth::Recursive)?;
    let place = make_place(root, target, &tree)?;
    mount::attach_at(tree, place)
}

/// Makes a clean slate, waits for leave to go and executes init.
fn run_init(
    spec: &InstanceSpec,
    host: &Host,
    entry: &Entry,
    terminal: &OwnedFd,
    sync: &Seqpacket,
) -> Outcome<Infallible> {
    set_host_name(&spec.name).step("set host name")?;
    use_as_stdio(terminal).step("open console")?;
    if entry.controlling_terminal {
        become_session_leader().step("start session")?;
        set_controlling_terminal(terminal).step("open console")?;
    }
    let environment = Environment::of_init(&spec.environment).to_strings();
    birth::prepare_inside().step("drop privileges")?;
    if let Some(program) = &host.seccomp {
        sc_sys::filter::install(program).step("install seccomp filter")?;
    }
    let Some((ToInit::Go, _)) = receive::<ToInit>(sync).step("wait for the agent")? else {
        return Err(abandoned());
    };
    close_from(3).step("close descriptors")?;
    // Last of all: changes of credentials clear it.
    bind_to_agent(host)?;
    execute(&entry.command, &environment)
}

fn execute(command: &[String], environment: &[CString]) -> Outcome<Infallible> {
    let arguments: Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.as_str())).collect();
    let name = command.first().map_or("", String::as_str);
    let Ok(arguments) = arguments else { return Err(plain("execute init", name, Errno::INVAL)) };
    let Some(program) = arguments.first() else {
        return Err(plain("execute init", name, Errno::INVAL));
    };
    let Err(errno) = nix::unistd::execve(program.as_c_str(), &arguments, environment);
    Err(BootFailure {
        step: "execute init".into(),
        object: name.into(),
        errno: errno as i32,
        remedy: execute_remedy(errno).map(str::to_owned),
    })
}

fn execute_remedy(errno: nix::errno::Errno) -> Option<&'static str> {
    use nix::errno::Errno;
    match errno {
        Errno::ENOEXEC => Some(
            "it is no program for this machine's processor; use an image of the host's architecture",
        ),
        Errno::ENOENT => Some(
            "the interpreter that it names (a dynamic loader, or what follows #!) is missing in the image",
        ),
        Errno::EACCES => Some("it is not executable; mark it so in the image (chmod 755)"),
        _ => None,
    }
}

/// Dies with the agent, and at once where that has died already.
fn bind_to_agent(host: &Host) -> Outcome<()> {
    set_death_signal(DeathSignal::Kill).step("bind to the agent")?;
    // A pidfd becomes readable with its process's end. The parent's pid would not tell: in a pid namespace
    // of its own PID 1 sees none.
    let mut polled = [PollFd::new(&host.agent, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut polled, Some(&now)) {
        Ok(0) => Ok(()),
        _ => Err(abandoned()),
    }
}

fn abandoned() -> BootFailure {
    plain("wait for the agent", "it has ended", Errno::PIPE)
}

fn tell_failure(sync: &Seqpacket, failure: BootFailure) {
    // The agent that would hear it may be gone, and then there is nobody to tell.
    let _ = send(sync, &FromInit::Failed(failure), &[]);
}
