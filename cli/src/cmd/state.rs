//! `sc start`, `sc stop` and `sc restart`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use sc_api::{InstanceStatePut, StateAction, StatusCode};
use sc_client::Detail;

use crate::complete::instance_names;
use crate::context::Context;
use crate::progress;
use crate::several::for_each;
use crate::verb::Verb;

/// Which instances.
#[derive(Debug, Args)]
struct Which {
    /// The instances
    #[arg(value_name = "NAME", required_unless_present = "all", add = instance_names())]
    names: Vec<String>,
    /// All of them that it makes sense for
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
}

/// How to stop.
#[derive(Debug, Args)]
struct How {
    /// Kill instead of asking
    #[arg(short, long)]
    force: bool,
    /// Give up after so many seconds; -1: after as long as the daemon waits by itself
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    timeout: i64,
}

/// `sc start`.
#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    which: Which,
}

/// `sc stop`.
#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
}

/// `sc restart`.
#[derive(Debug, Args)]
pub struct Restart {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
}

impl Verb for Start {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Start instances";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let how = How { force: false, timeout: -1 };
        change(&context, &self.which, StateAction::Start, "Starting", &how).await
    }
}

impl Verb for Stop {
    const NAME: &'static str = "stop";
    const ABOUT: &'static str = "Stop instances";

    async fn run(self, context: Context) -> Result<ExitCode> {
        change(&context, &self.which, StateAction::Stop, "Stopping", &self.how).await
    }
}

impl Verb for Restart {
    const NAME: &'static str = "restart";
    const ABOUT: &'static str = "Restart instances";

    async fn run(self, context: Context) -> Result<ExitCode> {
        change(&context, &self.which, StateAction::Restart, "Restarting", &self.how).await
    }
}

async fn change(
    context: &Context,
    which: &Which,
    action: StateAction,
    doing: &str,
    how: &How,
) -> Result<ExitCode> {
    if how.force && how.timeout >= 0 {
        bail!("--force kills at once, so --timeout has no meaning with it");
    }
    let names = match which.all {
        true => all(context, action).await?,
        false => context.remotes.objects(&which.names)?,
    };
    let put = InstanceStatePut { action, timeout: how.timeout, force: how.force, stateful: false };
    let single = names.len() == 1;
    for_each(&names, async |name| {
        let operation = context.client.set_instance_state(name, &put).await?;
        if single {
            progress::wait(context, &format!("{doing} {name}"), operation).await?;
        } else {
            context.client.wait(operation).await?;
        }
        Ok(())
    })
    .await
}

/// All instances that the action makes sense for.
async fn all(context: &Context, action: StateAction) -> Result<Vec<String>> {
    let wanted = match action {
        StateAction::Start => StatusCode::Stopped,
        _ => StatusCode::Running,
    };
    let instances = context.client.instances(Detail::Config).await?;
    let fitting = instances.into_iter().filter(|instance| instance.status_code == wanted);
    Ok(fitting.map(|instance| instance.name).collect())
}
