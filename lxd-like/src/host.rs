//! What the daemon uses of this machine, probed and opened once at its start.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sc_agent_protocol::{FIRST_SPEC_FD, InstanceSpec, LISTENER_FD, SPEC_FD};
use sc_sys::cgroup::{CgroupTree, FastAttach, TreeOptions};
use sc_sys::command::Spawn;
use sc_sys::idmap::{Allocator, Owner, WINDOW};
use sc_sys::memfd::{self, Content};
use sc_sys::unix::{Blocking, Listener};

use crate::blocking::blocking;
use crate::error::{Context, Error, Result, chain};
use crate::paths::Paths;

/// The agent, linked whole.
static AGENT: &[u8] = include_bytes!(env!("SC_AGENT_PATH"));

/// Where the id ranges of all daemons of this machine are claimed.
const ID_CLAIMS: &str = "/run/sc/idmap";

/// What the daemon uses of this machine.
pub struct Host {
    pub cgroups: CgroupTree,
    pub ids: Allocator,
    /// The seccomp program of every guest.
    pub seccomp: Option<OwnedFd>,
    /// In bytes.
    pub memory_total: u64,
    /// The agent's program; all agents share its pages.
    agent: OwnedFd,
    daemon: String,
    next_run: AtomicU64,
}

/// A spec with the descriptors that it counts on.
#[derive(Debug)]
pub struct Launch {
    pub spec: InstanceSpec,
    /// Handed on from [`FIRST_SPEC_FD`](sc_agent_protocol::FIRST_SPEC_FD) on.
    pub fds: Vec<OwnedFd>,
}

impl Host {
    /// Opens everything.
    pub fn open(paths: &Paths) -> Result<Self> {
        let daemon = paths.root().display().to_string();
        let program = sc_sys::seccomp::Policy::default().compile()?;
        let seccomp = memfd::sealed("sc-seccomp", &program, Content::Data)?;
        Ok(Self {
            cgroups: CgroupTree::open(&TreeOptions {
                name: tree_name(&daemon),
                fast_attach: FastAttach::Yes,
            })?,
            ids: Allocator::open(ID_CLAIMS, WINDOW)?,
            seccomp: Some(seccomp),
            memory_total: memory_total()?,
            agent: memfd::sealed("sc-agent", AGENT, Content::Program)?,
            next_run: AtomicU64::new(first_free_run(&paths.run_dir())?),
            daemon,
        })
    }

    /// The name under which this daemon claims id ranges.
    pub fn daemon_name(&self) -> &str {
        &self.daemon
    }

    /// Who holds an instance's id range.
    pub fn id_owner(&self, instance: &str) -> Owner {
        Owner::new(&self.daemon, instance)
    }

    /// Leaves out the numbers of runs that are still to be cleared up, whether or not they have files: who
    /// had the same would have their agent, and be cleared up in their place.
    pub fn number_after(&self, runs: impl IntoIterator<Item = u64>) {
        let next = runs.into_iter().max().map_or(1, |highest| highest + 1);
        self.next_run.fetch_max(next, Ordering::Relaxed);
    }

    /// A number for a run, which no other has of which anything is left.
    pub fn next_run(&self) -> u64 {
        self.next_run.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts an agent that listens at `socket`. It outlives the daemon.
    pub fn spawn_agent(&self, socket: &Path, launch: Launch) -> Result<()> {
        let text = serde_json::to_vec(&launch.spec).expect("a spec serialises");
        let spec = memfd::sealed("sc-spec", &text, Content::Data)?;
        let listener = Listener::bind(socket, Blocking::No)?;
        let agents = self.cgroups.agents().open()?;
        let mut spawn = Spawn::from_fd(self.agent.as_fd(), "sc-agent")
            .arg(&launch.spec.name)
            .fd(LISTENER_FD, listener.as_fd())
            .fd(SPEC_FD, spec.as_fd())
            .own_session();
        for (number, fd) in (FIRST_SPEC_FD..).zip(&launch.fds) {
            spawn = spawn.fd(number, fd.as_fd());
        }
        spawn = spawn.cgroup(agents.v2.as_fd());
        for procs in &agents.v1 {
            spawn = spawn.join(procs.as_fd());
        }
        let child = spawn.start()?;
        reap(child);
        Ok(())
    }
}

/// Sees to it that an agent leaves no zombie when it ends. One that an earlier daemon started is
/// the host's init's to reap.
fn reap(child: sc_sys::process::Child) {
    tokio::spawn(async move {
        let watched = child
            .pidfd()
            .try_clone_to_owned()
            .and_then(|fd| sc_sys::reactor::watch(fd, tokio::io::Interest::READABLE));
        match watched {
            Ok(pidfd) => drop(pidfd.readable().await),
            Err(error) => tracing::warn!(error = chain(&error), "watch an agent for its end"),
        }
        // Where it could not be watched this waits as long as it lives.
        let reaped = blocking(move || Ok(child.wait(sc_sys::process::Wait::Block)?)).await;
        if let Err(error) = reaped {
            tracing::warn!(error = %error.chain(), "reap an agent");
        }
    });
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("daemon", &self.daemon).finish_non_exhaustive()
    }
}

/// Names a daemon's cgroups: the default one plainly, others by a number that follows from their
/// folder, so that several daemons keep apart.
fn tree_name(daemon: &str) -> String {
    use sha2::{Digest, Sha256};
    if daemon == crate::paths::DEFAULT_DIR {
        return "sc".into();
    }
    let digest = Sha256::digest(daemon.as_bytes());
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("sc-{digits}")
}

fn memory_total() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| Error::internal("no MemTotal in /proc/meminfo"))
}

/// The first number above all runs that have left files in this boot.
fn first_free_run(dir: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(dir).context(format!("list {}", dir.display()))?;
    let used = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.split('.').next()?.parse::<u64>().ok()
    });
    Ok(used.max().map_or(1, |highest| highest + 1))
}
