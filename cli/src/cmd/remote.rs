//! `sc remote`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::remote::{ALL, Protocol};
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Remote;

impl Group for Remote {
    const NAME: &'static str = "remote";
    const ABOUT: &'static str = "Show remotes";
    const VERBS: &'static [Entry] = &[Entry::verb::<List>()];
}

/// `sc remote list`.
#[derive(Debug, Args)]
pub struct List {
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    url: String,
    protocol: &'static str,
    default: bool,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List remotes";
    const ALIASES: &'static [&'static str] = &["ls"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let remotes: Vec<Row> = ALL
            .iter()
            .map(|remote| Row {
                name: remote.name,
                url: match remote.protocol {
                    Protocol::Api => format!("{}{}", remote.url, context::socket().display()),
                    Protocol::Packages => remote.url.to_owned(),
                },
                protocol: remote.protocol.name(),
                default: remote.name == context.remotes.default.name,
            })
            .collect();
        output::list(self.format, &remotes, &["NAME", "URL", "PROTOCOL", "DEFAULT"], || {
            remotes
                .iter()
                .map(|row| {
                    let default = if row.default { "YES" } else { "NO" };
                    [row.name, &row.url, row.protocol, default].map(str::to_owned).to_vec()
                })
                .collect()
        })?;
        DONE
    }
}
