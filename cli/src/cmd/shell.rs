//! `sc shell`: a login shell inside an instance.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sc_api::{ConfigMap, InstanceExecPost};

use super::exec;
use crate::complete::instance_names;
use crate::context::Context;
use crate::terminal;
use crate::verb::Verb;

/// A login by `su`, which sets up what a login does; a plain login shell where there is none.
const LOGIN: &str = "if command -v su >/dev/null 2>&1; then exec su -l; else exec sh -l; fi";

/// `sc shell`.
#[derive(Debug, Args)]
pub struct Shell {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
}

impl Verb for Shell {
    const NAME: &'static str = "shell";
    const ABOUT: &'static str = "Open a login shell of root in an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let interactive = terminal::stdin_is_terminal() && terminal::stdout_is_terminal();
        let (width, height) = terminal::size().unwrap_or_default();
        let term = std::env::var("TERM").ok().filter(|_| interactive);
        let post = InstanceExecPost {
            command: ["sh", "-c", LOGIN].map(str::to_owned).to_vec(),
            wait_for_websocket: true,
            interactive,
            environment: ConfigMap::from_iter(term.map(|term| ("TERM".to_owned(), term))),
            width,
            height,
            ..InstanceExecPost::default()
        };
        exec::run(&context, &name, &post, true).await
    }
}
