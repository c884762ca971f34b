//! The verbs, one a file, and what several of them share.

mod admin;
mod completion;
mod config;
mod config_device;
mod console;
mod create;
mod delete;
mod exec;
mod image;
mod image_alias;
mod image_import;
mod info;
mod list;
mod list_columns;
mod list_filter;
mod monitor;
mod network;
mod operation;
mod profile;
mod profile_device;
mod query;
mod remote;
mod shell;
mod state;
mod storage;
mod version;

use std::process::ExitCode;

use anyhow::Result;
use clap_complete::engine::ArgValueCompleter;
use futures::StreamExt;

use crate::args::Entry;
use crate::complete;
use crate::context::Context;
use crate::output;

/// The verbs at the top, in the order of the help.
pub const ROOT: &[Entry] = &[
    Entry::verb::<create::Launch>(),
    Entry::verb::<create::Init>(),
    Entry::verb::<list::List>(),
    Entry::verb::<info::Info>(),
    Entry::verb::<exec::Exec>(),
    Entry::verb::<shell::Shell>(),
    Entry::verb::<console::Console>(),
    Entry::verb::<state::Start>(),
    Entry::verb::<state::Stop>(),
    Entry::verb::<state::Restart>(),
    Entry::verb::<delete::Delete>(),
    Entry::group::<config::Config>(),
    Entry::group::<profile::Profile>(),
    Entry::group::<image::Image>(),
    Entry::group::<network::Network>(),
    Entry::group::<storage::Storage>(),
    Entry::group::<operation::Operation>(),
    Entry::group::<remote::Remote>(),
    Entry::verb::<monitor::Monitor>(),
    Entry::verb::<query::Query>(),
    Entry::group::<admin::Admin>(),
    Entry::verb::<completion::Completion>(),
    Entry::verb::<version::Version>(),
];

/// How many instances are worked on at once where a command names several.
const AT_ONCE: usize = 8;

/// A command over several instances failed for some, which were told already.
#[derive(Debug, thiserror::Error)]
#[error("it failed for some")]
pub struct AlreadyReported;

/// Done.
pub const DONE: Result<ExitCode> = Ok(ExitCode::SUCCESS);

/// An exit code as the shell has it: one byte, and never 0 for what is not.
pub fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Does something for each name, several at once. One failure of several does not stop the
/// others; each is told with its name.
pub async fn for_each(
    names: &[String],
    work: impl AsyncFn(&str) -> Result<()>,
) -> Result<ExitCode> {
    if let [name] = names {
        work(name).await?;
        return DONE;
    }
    let work = &work;
    let failures: Vec<bool> = futures::stream::iter(names)
        .map(|name| async move {
            let outcome = work(name).await;
            if let Err(error) = &outcome {
                let text = format!("{name}: {}", output::chain(error));
                output::print_error(&text, std::io::IsTerminal::is_terminal(&std::io::stderr()));
            }
            outcome.is_err()
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    if failures.contains(&true) { Err(AlreadyReported.into()) } else { DONE }
}

/// The names of objects of the daemon, their remotes taken off.
pub fn objects(context: &Context, names: &[String]) -> Result<Vec<String>> {
    names.iter().map(|name| context.remotes.object(name)).collect()
}

fn instance_names() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::instances)
}

fn image_names() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::images)
}

fn profile_names() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::profiles)
}

fn network_names() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::networks)
}

fn pool_names() -> ArgValueCompleter {
    ArgValueCompleter::new(complete::pools)
}
