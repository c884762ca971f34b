//! `sc exec`: a program inside an instance.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args};
use sc_api::{ConfigMap, InstanceExecPost};
use sc_client::{ExecControl, ExecStreams};
use tokio::io::AsyncRead;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::complete::instance_names;
use crate::context::Context;
use crate::stdio::{Output, Stdin};
use crate::terminal::{self, RawMode};
use crate::verb::{Verb, exit_code};
use crate::{keyvalue, number};

/// `sc exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The program and its arguments; everything from the program on is its own
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<String>,
    /// Set a variable of its environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = keyvalue::parse)]
    env: Vec<(String, String)>,
    /// Run it in this directory
    #[arg(long, value_name = "DIRECTORY", value_parser = NonEmptyStringValueParser::new())]
    cwd: Option<String>,
    /// Run it as this user, by id
    #[arg(long, value_name = "UID", value_parser = number::id)]
    user: Option<u32>,
    /// Run it as this group, by id
    #[arg(long, value_name = "GID", value_parser = number::id)]
    group: Option<u32>,
    /// Give it a terminal, whatever ours are
    #[arg(short = 't', long, conflicts_with = "no_terminal", action = ArgAction::SetTrue)]
    force_interactive: bool,
    /// Give it no terminal
    #[arg(short = 'T', long = "force-noninteractive", action = ArgAction::SetTrue)]
    no_terminal: bool,
    /// Give it no input
    #[arg(short = 'n', long)]
    disable_stdin: bool,
}

impl Verb for Exec {
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "Run a program in an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let both = terminal::stdin_is_terminal() && terminal::stdout_is_terminal();
        let interactive = self.force_interactive || (both && !self.no_terminal);
        let mut environment: ConfigMap = ConfigMap::new();
        if interactive && let Ok(term) = std::env::var("TERM") {
            environment.insert("TERM".into(), term);
        }
        environment.extend(self.env);
        let (width, height) = terminal::size().unwrap_or_default();
        let post = InstanceExecPost {
            command: self.command,
            wait_for_websocket: true,
            interactive,
            environment,
            width,
            height,
            record_output: false,
            user: self.user.unwrap_or(0),
            group: self.group.unwrap_or(0),
            cwd: self.cwd.unwrap_or_default(),
        };
        run(&context, &name, &post, !self.disable_stdin).await
    }
}

/// Runs a program with our own input, output and signals.
pub async fn run(
    context: &Context,
    name: &str,
    post: &InstanceExecPost,
    with_input: bool,
) -> Result<ExitCode> {
    let stdin: Box<dyn AsyncRead + Unpin> = match with_input {
        true => Box::new(Stdin::new().context("use standard input")?),
        false => Box::new(tokio::io::empty()),
    };
    let streams = ExecStreams {
        stdin,
        stdout: Output::stdout().context("use standard output")?,
        stderr: Output::stderr().context("use standard error")?,
    };
    let (sender, control) = mpsc::channel(4);
    // Before the terminal is changed and the program runs, so that no signal finds its default.
    let signals = Signals::new(post.interactive)?;
    let raw =
        (post.interactive && terminal::stdin_is_terminal()).then(RawMode::enter).transpose()?;
    let code = tokio::select! {
        code = context.client.exec(name, post, streams, control) => code?,
        () = signals.forward(sender) => unreachable!("forwarding does not end"),
    };
    drop(raw);
    Ok(exit_code(code))
}

/// The signals that are passed on to the program.
struct Signals {
    signals: Vec<(i32, Signal)>,
    window: Option<Signal>,
}

impl Signals {
    fn new(interactive: bool) -> Result<Self> {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let catch = |kind| signal(kind).context("catch signals");
        let signals = kinds
            .into_iter()
            .map(|kind| Ok((kind.as_raw_value(), catch(kind)?)))
            .collect::<Result<_>>()?;
        let window = interactive.then(|| catch(SignalKind::window_change())).transpose()?;
        Ok(Self { signals, window })
    }

    async fn forward(mut self, to: mpsc::Sender<ExecControl>) {
        loop {
            let word = std::future::poll_fn(|context| {
                for (number, signal) in &mut self.signals {
                    if signal.poll_recv(context).is_ready() {
                        return std::task::Poll::Ready(ExecControl::Signal(*number));
                    }
                }
                if let Some(window) = &mut self.window
                    && window.poll_recv(context).is_ready()
                {
                    let (width, height) = terminal::size().unwrap_or_default();
                    return std::task::Poll::Ready(ExecControl::Resize { width, height });
                }
                std::task::Poll::Pending
            })
            .await;
            if to.send(word).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
