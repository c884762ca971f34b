//! `sc start`, `sc stop` and `sc restart`.

use std::process::ExitCode;

use anyhow::Result;
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
    /// All instances that it makes sense for
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
}

/// How to stop.
#[derive(Debug, Args)]
struct How {
    /// Kill instead of asking
    #[arg(short, long)]
    force: bool,
    /// Give up after so many seconds, and leave it running; -1: after 30
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "-1",
        value_parser = patience,
        allow_negative_numbers = true,
        conflicts_with = "force"
    )]
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
    let names = match which.all {
        true => all(context, action).await?,
        false => context.remotes.objects(&which.names)?,
    };
    let put = InstanceStatePut { action, timeout: how.timeout, force: how.force, stateful: false };
    let single = names.len() == 1;
    for_each(context, &names, async |name| {
        let title = format!("{doing} {name}");
        let operation = context.client.set_instance_state(name, &put).await?;
        match single {
            true => progress::wait(context, &title, operation).await?,
            false => progress::wait_silently(context, &title, operation).await?,
        };
        Ok(())
    })
    .await
}

/// How many seconds an orderly stop may take, for clap. 0 is no time to stop in, and the API takes
/// it for a number that is not given.
fn patience(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(-1) => Ok(-1),
        Ok(seconds) if seconds > 0 => Ok(seconds),
        Ok(0) => Err("it leaves no time to stop in; --force kills at once".into()),
        _ => Err("it must be a number of seconds, or -1".into()),
    }
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
