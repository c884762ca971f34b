//! The daemon's start and its end.
//!
//! Start: store, journal, pools, images, networks, then the instances of the daemon before this
//! one, then the API's socket, so that whoever can connect finds everything in its place; then
//! the instances that start by themselves. End: no new requests, the operations under way are
//! finished or cancelled, the store is closed. Guests, agents and dnsmasq stay, unless the daemon was asked to
//! stop the guests first.

mod autostart;
mod defaults;
mod listener;
mod log_events;
mod logging;
mod options;
mod watchdog;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rustix::process::Resource;
use sc_store::{Journal, Steps, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::app::App;
use crate::context::{Context, Ctx, Shutdown};
use crate::error::{Context as _, Error, Result, chain};
use crate::event::Events;
use crate::host::Host;
use crate::instance::{Instances, Recovered};
use crate::manager::{Images, Networks, Pools, Profiles, References};
use crate::model::Intent;
use crate::operation::Operations;
use crate::paths::Paths;
use crate::proven::Proven;
use options::Options;

/// How long the end waits for operations that are under way, before it cancels those that can be.
const OPERATIONS_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for the rest of them.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// How long it waits for requests that are.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for work that blocks.
const BLOCKED_PATIENCE: Duration = Duration::from_secs(1);

/// How many descriptors the daemon asks for, where its hard limit allows it.
const DESCRIPTORS: u64 = 1 << 20;

/// Reads the command line and runs the daemon.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let events = Events::new();
    let outcome = logging::start(&options, &events).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("start the runtime")?;
        let outcome = runtime.block_on(run(options, events));
        // What a disk that does not answer keeps from ending has been told.
        runtime.shutdown_timeout(BLOCKED_PATIENCE);
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scd: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options, events: Events) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::invalid("scd must be started as root"));
    }
    // What is wrong with the command line is told before anything is made.
    let group = options.group.as_deref().map(listener::group_id).transpose()?;
    raise_descriptor_limit();
    let ctx = open(&options, events).await?;
    // Before the socket: whoever can connect can also end the daemon in order.
    watch_signals(ctx.shutdown.clone())?;
    prepare(&ctx).await?;
    let instances = Instances::new(ctx.clone());
    let recovered = instances.recover().await?;
    let operations = Operations::new(ctx.events.clone());
    let listener = listener::bind(&ctx.paths.socket(), group)?;
    tracing::info!(dir = %ctx.paths.root().display(), "ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    watchdog::spawn(instances.clone());
    tokio::spawn(instances.clone().keep_copies());
    tokio::spawn(start_instances(ctx.clone(), instances.clone(), recovered));

    let leave = ctx.shutdown.leave.clone();
    let requests = TaskTracker::new();
    let app = App {
        ctx: ctx.clone(),
        instances: instances.clone(),
        operations: operations.clone(),
        requests: requests.clone(),
    };
    tokio::spawn(api::serve(listener, api::router(app), leave));
    tokio::select! {
        () = ctx.shutdown.leave.cancelled() => {}
        () = ctx.shutdown.stop_guests.cancelled() => stop_guests(&ctx, &instances).await,
    }
    end(&ctx, &instances, &operations, requests).await;
    Ok(())
}

/// Stops the guests, unless the daemon is asked to leave meanwhile.
async fn stop_guests(ctx: &Ctx, instances: &Instances) {
    let leave = &ctx.shutdown.leave;
    tokio::select! {
        () = autostart::stop_all(instances, leave) => {}
        () = leave.cancelled() => tracing::warn!("asked to leave before all guests have stopped"),
    }
}

async fn start_instances(ctx: Ctx, instances: Instances, recovered: Recovered) {
    autostart::start(ctx.pools.clone(), instances, recovered).await;
    ctx.ready.cancel();
}

/// Each instance, exec and client takes some descriptors, and the usual soft limit is meant for
/// programs that use select(2). Guests have limits of their own.
fn raise_descriptor_limit() {
    use sc_sys::process::{Limit, limits, set_limit};
    let hard = limits(Resource::Nofile).hard;
    let wanted = Some(hard.unwrap_or(DESCRIPTORS).min(DESCRIPTORS));
    if let Err(error) = set_limit(Resource::Nofile, Limit { soft: wanted, hard }) {
        tracing::warn!(error = chain(&error), "raise the limit of descriptors");
    }
}

/// Opens what the daemon stands on.
async fn open(options: &Options, events: Events) -> Result<Ctx> {
    let paths = Arc::new(Paths::new(options.dir.clone())?);
    refuse_a_lost_store(&paths)?;
    paths.create()?;
    let (store, host) = tokio::task::block_in_place(|| {
        Ok::<_, Error>((Store::open(&paths.store())?, Arc::new(Host::open(&paths)?)))
    })?;
    let journal = Journal::new(store.clone());
    host.number_after(runs_of_this_boot(&journal, &paths)?);
    let references = References::default();
    let pools = Pools::new(store.clone(), journal.clone(), paths.clone(), references.clone());
    Ok(Arc::new(Context {
        steps: steps(options)?,
        profiles: Profiles::new(store.clone()),
        images: Arc::new(Images::open(
            store.clone(),
            journal.clone(),
            events.clone(),
            &paths,
            host.clone(),
            pools.clone(),
        )?),
        pools,
        networks: Networks::new(
            store.clone(),
            journal.clone(),
            paths.clone(),
            &host,
            references.clone(),
        )?,
        references,
        proven: Proven::default(),
        ready: CancellationToken::new(),
        shutdown: Shutdown::default(),
        paths,
        host,
        store,
        journal,
        events,
    }))
}

/// The numbers of the runs that have been begun in this boot and not been cleared up.
fn runs_of_this_boot(journal: &Journal<Intent>, paths: &Paths) -> Result<Vec<u64>> {
    let run = |intent| match intent {
        Intent::Run(plan) if plan.boot_id == paths.boot_id() => Some(plan.run),
        _ => None,
    };
    Ok(journal.pending()?.into_iter().filter_map(|(_, intent)| run(intent)).collect())
}

/// Where there is no database and what belongs to one is there, an empty one would be of no use: nothing would
/// be known of the instances, and what the daemon makes anew would be in the way of what is theirs.
fn refuse_a_lost_store(paths: &Paths) -> Result<()> {
    let Some(left) = paths.left_without_store() else { return Ok(()) };
    let (store, root) = (paths.store(), paths.root().display());
    Err(Error::conflict(format!(
        "the database in {} is gone, and {} is there: put the database back that belongs to it (what its \
         instances were is also in the backup.yaml beside each volume of a pool), or, to begin anew, move {root} \
         away",
        store.display(),
        left.display(),
    )))
}

/// The steps of this daemon's operations, with the faults it was told to run into.
fn steps(options: &Options) -> Result<Steps> {
    let kill = || {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    let plan = options.fault.as_deref().unwrap_or_default();
    let steps = Steps::planned(plan, Box::new(kill));
    steps.map_err(|error| Error::invalid(format!("SC_FAULT: {error}")))
}

/// Recovers what the daemon before this one has left, and makes the defaults of a first start.
async fn prepare(ctx: &Ctx) -> Result<()> {
    ctx.pools.open_all().await?;
    ctx.images.recover().await?;
    ctx.networks.start_all().await?;
    defaults::make(ctx).await
}

/// Takes the signals that end the daemon from now on.
fn watch_signals(shutdown: Shutdown) -> Result<()> {
    let listen = |kind| signal(kind).context("listen for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    // The host's power fails: LXD's sign for stopping the guests in order.
    let mut power = listen(SignalKind::from_raw(rustix::process::Signal::POWER.as_raw()))?;
    tokio::spawn(async move {
        // Whoever has asked for the guests to be stopped may have no time for that after all.
        while !shutdown.leave.is_cancelled() {
            tokio::select! {
                _ = terminate.recv() => shutdown.leave.cancel(),
                _ = interrupt.recv() => shutdown.leave.cancel(),
                _ = power.recv() => shutdown.stop_guests.cancel(),
            }
        }
    });
    Ok(())
}

async fn end(ctx: &Ctx, instances: &Instances, operations: &Operations, requests: TaskTracker) {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("ending");
    if let Err(error) = std::fs::remove_file(ctx.paths.socket()) {
        tracing::warn!(%error, "remove the API's socket");
    }
    requests.close();
    // A client that is slow to send what it has to say keeps nobody.
    let _ = tokio::time::timeout(REQUEST_PATIENCE, requests.wait()).await;
    if tokio::time::timeout(OPERATIONS_PATIENCE, operations.drained()).await.is_err() {
        operations.cancel_all();
        if tokio::time::timeout(DRAIN_PATIENCE, operations.drained()).await.is_err() {
            tracing::warn!(
                "some operations are still under way: the next daemon sees to what they have begun"
            );
        }
    }
    instances.write_copies().await;
    ctx.events.end().await;
    ctx.host.cgroups.remove_if_unused();
    if let Err(error) = ctx.journal.clear_overdue().await {
        tracing::error!(%error, "clear what is done from the journal");
    }
    ctx.store.clone().close().await;
}
