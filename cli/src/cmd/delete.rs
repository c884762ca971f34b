//! `sc delete`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use sc_api::{ErrorKind, InstanceStatePut, StateAction, StatusCode};

use crate::complete::instance_names;
use crate::context::Context;
use crate::several::for_each;
use crate::verb::Verb;
use crate::{output, progress};

/// How often an instance that others start again is killed.
const TRIES: u32 = 20;

/// For how long. A kill that has no effect takes longer than this to be told.
const PATIENCE: Duration = Duration::from_secs(10);

/// `sc delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The instances
    #[arg(value_name = "NAME", required = true, add = instance_names())]
    names: Vec<String>,
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
}

impl Verb for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Delete instances";
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let names = context.remotes.objects(&self.names)?;
        for_each(&context, &names, async |name| {
            match self.force {
                true => kill_and_delete(&context, name).await,
                false => delete_stopped(&context, name).await,
            }?;
            output::done(&context, format!("Instance {name} deleted"))
        })
        .await
    }
}

async fn delete_stopped(context: &Context, name: &str) -> Result<()> {
    let Err(error) = delete(context, name).await else { return Ok(()) };
    // Why it failed is looked into only now: most are stopped.
    if let Ok(instance) = context.client.instance(name).await
        && instance.value.status_code != StatusCode::Stopped
    {
        let status = instance.value.status.to_lowercase();
        bail!("instance {name} is {status}: stop it first, or pass --force");
    }
    Err(error.into())
}

/// Kills and deletes. Others may start it between the two: another client, or a daemon that finishes
/// the restart that the one before it had begun.
async fn kill_and_delete(context: &Context, name: &str) -> Result<()> {
    let begun = Instant::now();
    for _ in 1..TRIES {
        let Err(error) = kill_then_delete(context, name).await else { return Ok(()) };
        match context.client.instance(name).await {
            Ok(now)
                if now.value.status_code != StatusCode::Stopped && begun.elapsed() < PATIENCE => {}
            _ => return Err(error),
        }
    }
    kill_then_delete(context, name).await
}

async fn kill_then_delete(context: &Context, name: &str) -> Result<()> {
    let client = &context.client;
    let instance = client.instance(name).await?.value;
    if instance.status_code != StatusCode::Stopped {
        let put = InstanceStatePut {
            action: StateAction::Stop,
            timeout: -1,
            force: true,
            stateful: false,
        };
        let stopped = async {
            let operation = client.set_instance_state(name, &put).await?;
            progress::wait_silently(context, &format!("Stopping {name}"), operation).await
        };
        if let Err(error) = stopped.await {
            // It may have stopped by itself meanwhile, and an ephemeral one is gone then.
            match client.instance(name).await {
                Ok(now) if now.value.status_code == StatusCode::Stopped => {}
                Err(gone) if gone.kind() == ErrorKind::NotFound => {}
                _ => return Err(error.into()),
            }
        }
    }
    match delete(context, name).await {
        // An ephemeral instance is deleted by its stop.
        Err(error) if instance.ephemeral && error.kind() == ErrorKind::NotFound => Ok(()),
        other => Ok(other?),
    }
}

async fn delete(context: &Context, name: &str) -> sc_client::Result<()> {
    let operation = context.client.delete_instance(name).await?;
    progress::wait_silently(context, &format!("Deleting {name}"), operation).await?;
    Ok(())
}
