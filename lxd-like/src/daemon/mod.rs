//! The daemon's start and its end.
//!
//! Start: store, journal, pools, images, networks, then the instances of the daemon before this
//! one, then the API's socket, so that whoever can connect finds everything in its place; then
//! the instances that start by themselves. End: no new requests, the operations under way are
//! finished, the store is closed. Guests, agents and dnsmasq stay, unless the daemon was asked to
//! stop the guests first.

mod autostart;
mod defaults;
mod listener;
mod log_events;
mod logging;
mod options;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sc_store::{Journal, Steps, Store};
use tokio::signal::unix::{SignalKind, signal};

pub use options::DEFAULT_DIR;

use crate::api;
use crate::context::{Context, Ctx, Shutdown};
use crate::error::{Context as _, Error, Result};
use crate::event::Events;
use crate::host::Host;
use crate::instance::{self, Instances};
use crate::manager::{Images, Networks, Pools, Profiles};
use crate::operation::Operations;
use crate::paths::Paths;
use options::Options;

/// How long the end waits for operations that are under way.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Reads the command line and runs the daemon.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let events = Events::new();
    let outcome = logging::start(&options, &events).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.context("start the runtime")?.block_on(run(options, events))
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
    let ctx = open(&options, events).await?;
    let recovered = prepare(&ctx).await?;
    let listener = listener::bind(&ctx.paths.socket(), options.group.as_deref())?;
    tracing::info!(dir = %ctx.paths.root().display(), "ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::spawn(autostart::start(ctx.clone(), recovered));
    tokio::spawn(watch_signals(ctx.shutdown.clone()));

    let leave = ctx.shutdown.leave.clone();
    let server = axum::serve(listener, api::router(ctx.clone()))
        .with_graceful_shutdown(async move { leave.cancelled().await });
    let serving = tokio::spawn(server.into_future());
    tokio::select! {
        () = ctx.shutdown.leave.cancelled() => {}
        () = ctx.shutdown.stop_guests.cancelled() => autostart::stop_all(&ctx).await,
    }
    end(&ctx).await;
    serving.abort();
    Ok(())
}

/// Opens what the daemon stands on.
async fn open(options: &Options, events: Events) -> Result<Ctx> {
    let paths = Paths::new(options.dir.clone())?;
    paths.create()?;
    let (dir, plan) = (paths.store(), options.fault.clone());
    let store = tokio::task::block_in_place(|| Store::open(&dir))?;
    let host = tokio::task::block_in_place(|| Host::open(&paths))?;
    let kill = || {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    let steps = Steps::planned(plan.as_deref().unwrap_or_default(), Box::new(kill));
    let steps = steps.map_err(|error| Error::invalid(format!("SC_FAULT: {error}")))?;
    Ok(Arc::new(Context {
        journal: Journal::new(store.clone()),
        steps,
        operations: Operations::new(events.clone()),
        events,
        profiles: Profiles::new(store.clone()),
        images: Images::open(&paths)?,
        pools: Pools::default(),
        networks: Networks::new(&host)?,
        instances: Instances::default(),
        shutdown: Shutdown::default(),
        store,
        host,
        paths,
    }))
}

/// Recovers what the daemon before this one has left, and makes the defaults of a first start.
async fn prepare(ctx: &Ctx) -> Result<instance::Recovered> {
    ctx.pools.open_all(ctx).await?;
    ctx.images.recover(ctx).await?;
    ctx.networks.start_all(ctx).await?;
    defaults::make(ctx).await?;
    instance::recover(ctx).await
}

async fn watch_signals(shutdown: Shutdown) {
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        // The host's power fails: LXD's sign for stopping the guests in order.
        signal(SignalKind::from_raw(rustix::process::Signal::POWER.as_raw())),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut power)) = streams else {
        tracing::error!("cannot listen for signals: end the daemon with sc admin shutdown");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => shutdown.leave.cancel(),
        _ = interrupt.recv() => shutdown.leave.cancel(),
        _ = power.recv() => shutdown.stop_guests.cancel(),
    }
}

async fn end(ctx: &Ctx) {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("ending");
    if let Err(error) = std::fs::remove_file(ctx.paths.socket()) {
        tracing::warn!(%error, "remove the API's socket");
    }
    if tokio::time::timeout(DRAIN_PATIENCE, ctx.operations.drained()).await.is_err() {
        tracing::warn!("some operations are still under way: the journal knows of them");
    }
    ctx.store.clone().close().await;
}
