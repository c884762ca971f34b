//! `sc remote`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use serde::Serialize;

use super::objects::list::{List, Listed};
use crate::columns::Column;
use crate::context::{self, Context};
use crate::output;
use crate::remote::{self, ALL, Protocol};
use crate::settings::Settings;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Remote;

impl Group for Remote {
    const NAME: &'static str = "remote";
    const ABOUT: &'static str =
        "Show remotes, and choose the one that images named without one are of";
    const VERBS: &'static [Entry] =
        &[Entry::verb::<List<Row>>(), Entry::verb::<Switch>(), Entry::verb::<GetDefault>()];
}

/// Switches to another remote.
#[derive(Args)]
pub struct Switch {
    /// The remote, as `debian:` or `debian`
    #[arg(value_name = "REMOTE", add = ArgValueCandidates::new(names))]
    remote: String,
}

impl Verb for Switch {
    const NAME: &'static str = "switch";
    const ABOUT: &'static str = "Choose the remote that images named without one are of";
    const ALIASES: &'static [&'static str] = &["set-default"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let remote = remote::find(self.remote.trim_end_matches(':'))?;
        let settings = Settings { default_remote: Some(remote.name.to_owned()) };
        settings.save()?;
        output::done(
            &context,
            format!("Images named without a remote are of {}: now", remote.name),
        )?;
        DONE
    }
}

/// Shows the remote that is meant.
#[derive(Args)]
pub struct GetDefault {}

impl Verb for GetDefault {
    const NAME: &'static str = "get-default";
    const ABOUT: &'static str = "Show the remote that images named without one are of";

    async fn run(self, context: Context) -> Result<ExitCode> {
        output::line(context.remotes.default.name)?;
        DONE
    }
}

fn names() -> Vec<CompletionCandidate> {
    ALL.iter().map(|remote| CompletionCandidate::new(remote.name)).collect()
}

/// A remote as it is listed.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    url: String,
    protocol: &'static str,
    default: bool,
}

impl Listed for Row {
    const ABOUT: &'static str = "List remotes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'n', title: "NAME", about: "", value: |r| r.name.to_owned() },
        Column { letter: 'u', title: "URL", about: "", value: |r| r.url.clone() },
        Column { letter: 'p', title: "PROTOCOL", about: "", value: |r| r.protocol.to_owned() },
        Column { letter: 'd', title: "DEFAULT", about: "", value: default },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        let remotes = ALL.iter().map(|remote| Self {
            name: remote.name,
            url: match remote.protocol {
                Protocol::Api => format!("{}{}", remote.url, context::socket().display()),
                Protocol::Packages => remote.url.to_owned(),
            },
            protocol: remote.protocol.name(),
            default: remote.name == context.remotes.default.name,
        });
        Ok(remotes.collect())
    }
}

fn default(row: &Row) -> String {
    if row.default { "YES" } else { "NO" }.to_owned()
}
