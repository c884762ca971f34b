//! The supervisor of one instance: parent of its PID 1, keeper of its console, and the way in for `exec`.
//!
//! Started by `scd` with a listening socket on descriptor 3, the instance's spec on 4 and what the spec
//! names from 5 on. It outlives the daemon, serves whichever daemon comes next, and ends with its instance.
//!
//! | module | what it does |
//! |---|---|
//! | [`supervisor`] | the event loop: states, requests, events |
//! | [`host`], [`nodes`], [`rootfs`] | what is kept of the host; device nodes; the guest's mounts |
//! | [`user`] | the guest's user and network namespace |
//! | [`boot`] | from namespaces to a running init |
//! | [`init`] | which init it is, and what follows from that |
//! | [`console`], [`exec`], [`network`] | terminal, programs inside, addresses inside |
//! | [`stop`], [`verdict`] | how an instance is asked to end, and what its end means |
//! | [`farewell`] | why it could not begin |

mod birth;
mod boot;
mod clock;
mod connection;
mod console;
mod environment;
mod exec;
mod failure;
mod farewell;
mod host;
mod init;
mod log;
mod network;
mod nodes;
mod passwd;
mod place;
mod rootfs;
mod stdio;
mod stop;
mod supervisor;
mod user;
mod verdict;

use std::fs::File;
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;

use rustix::io::Errno;
use sc_agent_protocol::{BootFailure, InstanceSpec};
use sc_sys::inherited::take_inherited;
use sc_sys::resolve::Root;

use crate::failure::{Step, plain};
use crate::host::{GUEST_ROOT, PositionedReader, Trees};
use crate::init::detect::{Program, find};
use crate::log::{BoundedFile, Journal};
use crate::supervisor::Supervisor;

/// No spec is longer: its seed files are small.
const MOST_SPEC: u64 = 16 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Before there is a log this is all there is; `scd` keeps it.
            eprintln!("sc-agent: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), BootFailure> {
    birth::hide_from_guest().step("start")?;
    let mut descriptors = take_inherited().step("start")?.into_iter();
    let (Some(listener), Some(spec)) = (descriptors.next(), descriptors.next()) else {
        let usage = "listener on descriptor 3 and spec on 4; scd starts this program";
        return Err(plain("start", usage, Errno::BADF));
    };
    // Until it is served by the loop.
    let spare = listener.try_clone();
    let spare = spare.map_err(|error| sc_sys::SysError::new("duplicate", "listener", error));
    let spare = spare.step("start")?;
    let (mut supervisor, spec) = match prepare(listener, spec) {
        Ok(prepared) => prepared,
        Err(failure) => {
            farewell::tell(spare, &failure);
            return Err(failure);
        }
    };
    drop(spare);
    supervisor.begin(descriptors.collect(), |trees, user| mount(&spec, trees, user));
    supervisor.run().step("supervise")
}

/// Opens what is needed to serve a daemon.
fn prepare(
    listener: OwnedFd,
    spec: OwnedFd,
) -> Result<(Supervisor, Rc<InstanceSpec>), BootFailure> {
    let spec = Rc::new(read_spec(spec)?);
    let mut journal = Journal::open(&spec.agent_log, &spec.exit_record).step("open log")?;
    let console_log =
        BoundedFile::open(&spec.console_log, spec.console_log_bytes).step("open console log")?;
    journal.say(format!("agent {} of instance {}", env!("CARGO_PKG_VERSION"), spec.name));
    birth::raise_own_limits();
    let supervisor = Supervisor::new(&spec, listener, console_log, journal).step("start")?;
    Ok((supervisor, spec))
}

fn read_spec(spec: OwnedFd) -> Result<InstanceSpec, BootFailure> {
    let mut bytes = Vec::new();
    let file = File::from(spec);
    let reader = PositionedReader { file: &file, at: 0 };
    reader
        .take(MOST_SPEC)
        .read_to_end(&mut bytes)
        .map_err(|error| sc_sys::SysError::new("read", "spec", error))
        .step("read spec")?;
    serde_json::from_slice(&bytes)
        .map_err(|error| plain("read spec", error.to_string(), Errno::INVAL))
}

/// Mounts what the guest is made of and looks for its init.
fn mount(spec: &InstanceSpec, trees: &Trees, user: BorrowedFd<'_>) -> Result<Program, BootFailure> {
    rootfs::mount_all(spec, trees, user)?;
    let root = Root::open_dir(GUEST_ROOT).step("open root")?;
    find(&root, &spec.init)
}
