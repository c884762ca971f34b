//! `sc version`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::output;
use crate::verb::{DONE, Verb};

/// `sc version`.
#[derive(Debug, Args)]
pub struct Version {}

impl Verb for Version {
    const NAME: &'static str = "version";
    const ABOUT: &'static str = "Show the versions of this program and of the daemon";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let server = match context.client.server().await {
            Ok(server) => server.value.environment.server_version,
            Err(_) => "unreachable".into(),
        };
        output::line(format!(
            "Client version: {}\nServer version: {server}",
            env!("CARGO_PKG_VERSION")
        ))?;
        DONE
    }
}
