//! A delegated scope of systemd's, for hosts where it is PID 1 and cgroup2 is all there is.
//!
//! A scope survives restarts of the daemon's own service, but vanishes as soon as it is empty: a holder
//! process lives in it as long as the daemon has instances, and longer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::systemd::SystemdClient;
use cgroups_rs::systemd::props::PropertiesBuilder;

use super::v1::write;
use crate::command::Spawn;
use crate::error::{Result, SysError};
use crate::process::Child;

const SLICE: &str = "system.slice";
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether systemd is the host's PID 1 (sd_booted(3)).
pub(super) fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Returns the scope's directory, starting the scope where it does not run.
///
/// The holder is moved to `agents`, since a group with controllers for its children takes no process.
pub(super) fn ensure(unified: &Path, name: &str) -> Result<PathBuf> {
    let unit = format!("{name}.scope");
    let path = unified.join(SLICE).join(&unit);
    if path.is_dir() {
        return Ok(path);
    }
    let holder = start_holder()?;
    let outcome = start(&unit, &holder).and_then(|()| settle(&path, &holder));
    if outcome.is_err() {
        holder.kill();
        let _ = holder.wait(crate::process::Wait::Block);
    }
    outcome.map(|()| path)
}

fn start_holder() -> Result<Child> {
    // Anything that waits for ever in little memory will do.
    Spawn::from_path("/bin/sleep").arg("infinity").own_session().start()
}

fn start(unit: &str, holder: &Child) -> Result<()> {
    let properties = PropertiesBuilder::default_cgroup(SLICE, unit)
        .description("instances of the system container daemon".to_owned())
        .delegate(true)
        .default_dependencies(false)
        .pids(vec![holder.pid().unsigned_abs()])
        .build();
    SystemdClient::new(unit, properties)
        .and_then(|client| client.start())
        .map_err(|error| SysError::new("start scope", unit, io::Error::other(error.to_string())))
}

/// Waits until systemd has moved the holder, and moves it on.
fn settle(path: &Path, holder: &Child) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    let pid = holder.pid().to_string();
    let is_there = || {
        std::fs::read_to_string(path.join("cgroup.procs"))
            .is_ok_and(|procs| procs.lines().any(|line| line == pid))
    };
    while !is_there() {
        if Instant::now() > deadline {
            let kind = io::ErrorKind::TimedOut;
            return Err(SysError::message(
                "start scope",
                path.display(),
                kind,
                "systemd is silent",
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let agents = path.join("agents");
    std::fs::create_dir_all(&agents)
        .map_err(|error| SysError::new("create control group", agents.display(), error))?;
    write(&agents.join("cgroup.procs"), &pid)
}
