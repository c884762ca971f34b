//! The dnsmasq of a network: DHCP, router advertisements and DNS.
//!
//! It runs as a daemon of its own in a session of its own, so that it outlives the process that
//! started it, and is found again by its command line, which names files of this network alone:
//!
//! ```text
//!   start ──> found, same arguments ──> taken up ─┐
//!     │                                           ├─> watched ──> died ──> started anew, with back-off
//!     └─> none, or other arguments ──> started ───┘
//! ```
//!
//! What it answers comes from files of ours, one for each device of an instance, in folders that it
//! watches: reservations while the instance exists, names while it runs. A name never comes from a
//! lease, so none outlives its instance.

mod arguments;
mod files;
mod lease;
mod log;
mod process;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::command::Program;
use crate::{BridgeConfig, Context, NetworkError, Result};

pub(crate) use files::{Files, check_host};
pub(crate) use lease::FileLease;
use process::Process;

/// The name of a network's own address; no instance can be called so.
pub(crate) const GATEWAY: &str = "_gateway";

/// How often the size of the log is looked at: time enough for some megabytes.
const LOG_CHECK: Duration = Duration::from_secs(5);

/// The first pause before a dnsmasq that died is started again, doubled up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One that ran this long had no trouble starting: the next pause is short again.
const SETTLED: Duration = Duration::from_secs(60);

/// How long it may take to end in order before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running dnsmasq. Dropping it ends the watch and leaves the process.
pub(crate) struct Dnsmasq {
    shared: Arc<Shared>,
    watch: AbortHandle,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

struct Shared {
    network: String,
    args: Vec<String>,
    files: Files,
    context: Context,
    process: Mutex<Process>,
    /// A file of the DHCP folder is gone and dnsmasq does not know: it forgets what a file held only
    /// when it reads everything again.
    stale: AtomicBool,
}

impl Dnsmasq {
    /// Takes up the network's dnsmasq, or starts one if there is none or it was started otherwise.
    pub async fn start(config: &BridgeConfig, files: Files, context: Context) -> Result<Self> {
        let account = arguments::account();
        files.prepare(&account)?;
        let args = arguments::arguments(config, &files, &account);
        let found = process::find(&files.pid());
        let process = match found {
            Some((process, argv)) if argv == args => {
                tracing::debug!(network = config.name, pid = process.pid(), "dnsmasq taken up");
                process
            }
            other => {
                if let Some((old, _)) = other {
                    old.end(PATIENCE).await;
                }
                spawn(&config.name, &args, &files, &context).await?
            }
        };
        let shared = Arc::new(Shared {
            network: config.name.clone(),
            args,
            files,
            context,
            process: Mutex::new(process),
            // Files may have gone while nobody was there to tell it.
            stale: AtomicBool::new(true),
        });
        let watch = tokio::spawn(watch(Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, watch })
    }

    /// Ends it.
    pub async fn stop(self) {
        // A start that the watch has begun is waited for: cut off, it would leave a process behind.
        let process = self.shared.process.lock().await;
        self.watch.abort();
        process.end(PATIENCE).await;
    }

    /// Notes that a file of the DHCP folder is gone.
    pub fn note_removed(&self) {
        self.shared.stale.store(true, Ordering::Release);
    }

    /// Makes it read everything again if a removed file may still count: to be called before an
    /// address is used again.
    pub async fn refresh(&self) -> Result<()> {
        if !self.shared.stale.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let reloaded = self.shared.process.lock().await.signal(Signal::HUP);
        reloaded.map_err(|source| {
            self.shared.stale.store(true, Ordering::Release);
            self.shared.program().failed("reload", source)
        })
    }

    /// Takes a lease back, as if its holder had released it, so that another may have its address.
    pub async fn forget_lease(&self, lease: &FileLease, gateway: Option<IpAddr>) -> Result<()> {
        match (lease.address, lease.mac, gateway) {
            (IpAddr::V4(address), Some(mac), Some(IpAddr::V4(server))) => {
                let packet = lease::release_packet(address, mac, server, &lease.client_id);
                let to = SocketAddr::from((server, 67));
                match lease::send_through(&self.shared.network, &packet, to).await {
                    // Without its bridge dnsmasq hears nothing.
                    Err(error) if error.is_missing() => self.edit_leases(lease.address).await,
                    other => other,
                }
            }
            _ => self.edit_leases(lease.address).await,
        }
    }

    /// Takes an address out of the lease file; dnsmasq, which reads it at its start only, is started
    /// anew.
    async fn edit_leases(&self, address: IpAddr) -> Result<()> {
        let shared = &self.shared;
        if shared.files.read_leases()?.iter().all(|lease| lease.address != address) {
            return Ok(());
        }
        // Holding the lock keeps the watch from starting it in between.
        let mut process = shared.process.lock().await;
        process.end(PATIENCE).await;
        shared.files.drop_lease(address)?;
        *process = spawn(&shared.network, &shared.args, &shared.files, &shared.context).await?;
        Ok(())
    }
}

impl Shared {
    fn program(&self) -> Program<'_> {
        program(&self.network, &self.context)
    }
}

/// Ends what an earlier process left running for the network with these files.
pub(crate) async fn end_leftover(files: &Files) {
    if let Some((process, _)) = process::find(&files.pid()) {
        process.end(PATIENCE).await;
    }
}

fn program<'a>(network: &'a str, context: &'a Context) -> Program<'a> {
    Program { path: &context.dnsmasq, package: "dnsmasq-base", network, purpose: "DHCP and DNS" }
}

/// Starts it. The program that is run ends when the daemon that it leaves behind is ready, or says
/// why that could not be.
async fn spawn(
    network: &str,
    args: &[String],
    files: &Files,
    context: &Context,
) -> Result<Process> {
    let program = program(network, context);
    files.keep_one_old_log();
    program.run(args, "").await.map_err(|error| with_log(error, files))?;
    let gone = || std::io::Error::new(std::io::ErrorKind::NotFound, "it ended at once");
    let (process, _) = process::find(&files.pid()).ok_or_else(|| NetworkError::Process {
        op: "find",
        program: program.path.display().to_string(),
        network: network.to_owned(),
        source: gone(),
    })?;
    if let Some(place) = &context.place {
        let placed = place(process.pid());
        if let Err(source) = placed {
            process.end(PATIENCE).await;
            return Err(program.failed("place in its cgroup", source));
        }
    }
    tracing::debug!(network, pid = process.pid(), "dnsmasq started");
    Ok(process)
}

/// Where dnsmasq said nothing it may have written to its log, which is new with each start.
fn with_log(mut error: NetworkError, files: &Files) -> NetworkError {
    if let NetworkError::Program { stderr, .. } = &mut error
        && stderr.is_empty()
    {
        *stderr = match files.end_of_log() {
            end if end.is_empty() => format!("it said nothing, nor in {}", files.log().display()),
            end => end,
        };
    }
    error
}

/// Starts dnsmasq again whenever it dies.
async fn watch(shared: Arc<Shared>) {
    let mut pause = PAUSE;
    loop {
        let exit = shared.process.lock().await.exit();
        let since = tokio::time::Instant::now();
        tokio::select! {
            () = exit.wait() => {}
            () = bound_log(&shared.files) => {}
        }
        if since.elapsed() > SETTLED {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let mut process = shared.process.lock().await;
        if !process.has_ended() {
            continue;
        }
        tracing::warn!(
            network = shared.network,
            pid = process.pid(),
            "dnsmasq died; starting it again"
        );
        match spawn(&shared.network, &shared.args, &shared.files, &shared.context).await {
            Ok(new) => *process = new,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(network = shared.network, error, "dnsmasq does not start");
            }
        }
    }
}

/// Keeps the log small for as long as it is polled. A guest can make dnsmasq complain as fast as it
/// can send.
async fn bound_log(files: &Files) {
    loop {
        tokio::time::sleep(LOG_CHECK).await;
        files.bound_log();
    }
}
