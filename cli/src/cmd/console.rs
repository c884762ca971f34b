//! `sc console`: an instance's console, or what it wrote there.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sc_api::InstanceConsolePost;
use sc_client::{ConsoleEnd, DETACH_KEYS};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::complete::instance_names;
use crate::context::Context;
use crate::output;
use crate::stdio::{Output, Stdin};
use crate::terminal::{self, RawMode};
use crate::verb::{DONE, Verb};

/// `sc console`.
#[derive(Debug, Args)]
pub struct Console {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// Print what the instance wrote to its console
    #[arg(long, conflicts_with = "force")]
    show_log: bool,
    /// Take the console over from another client
    #[arg(short, long)]
    force: bool,
}

impl Verb for Console {
    const NAME: &'static str = "console";
    const ABOUT: &'static str = "Attach to the console of an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        if self.show_log {
            output::print(context.client.console_log(&name).await?)?;
            return DONE;
        }
        attach(&context, &name, self.force).await
    }
}

async fn attach(context: &Context, name: &str, force: bool) -> Result<ExitCode> {
    if !terminal::stdin_is_terminal() {
        // An instance that is not there is the first thing to tell.
        context.client.instance(name).await?;
        bail!("the console needs a terminal on standard input; --show-log prints its log");
    }
    let (width, height) = terminal::size().unwrap_or_default();
    let post = InstanceConsolePost { width, height, console_type: "console".into(), force };
    output::line(format!("To detach from the console, press: {DETACH_KEYS}"))?;
    let stdin = Stdin::new().context("use standard input")?;
    let stdout = Output::stdout().context("use standard output")?;
    let mut window = signal(SignalKind::window_change()).context("catch signals")?;
    let (sizes, receiver) = mpsc::channel(1);
    let raw = RawMode::enter()?;
    let resizes = async {
        while window.recv().await.is_some() {
            let _ = sizes.send(terminal::size().unwrap_or_default()).await;
        }
    };
    let end = tokio::select! {
        end = context.client.console(name, &post, stdin, stdout, receiver) => end,
        () = resizes => unreachable!("signals do not end"),
    };
    drop(raw);
    if end? == ConsoleEnd::Detached {
        output::print("\n")?;
    }
    DONE
}
