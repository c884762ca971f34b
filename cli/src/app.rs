//! From the arguments to the exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use sc_client::{Client, Error};

use crate::args;
use crate::cmd;
use crate::complete;
use crate::context::{self, Context};
use crate::interrupt::Interrupted;
use crate::output::{self, OutputClosed};
use crate::several::AlreadyReported;
use crate::suggest;
use crate::usage::WrongUsage;
use crate::verb;

/// Where a shell's reader of our output that left would find it: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// Runs the command line.
pub fn run() -> ExitCode {
    complete::answer_shell(args::tree);
    let matches = match args::tree().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return args::report_usage(&error),
    };
    match execute(&matches) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn execute(matches: &clap::ArgMatches) -> Result<ExitCode> {
    let (entry, matches) = verb::find(cmd::ROOT, matches);
    let context = Context::from_env(matches.get_flag(args::QUIET), args::tree)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("start the event loop")?;
    let (interrupts, client) = (context.interrupts.clone(), context.client.clone());
    let command = (entry.run)(matches, context);
    let outcome = runtime.block_on(async {
        match interrupts.run(&client, command).await {
            Err(error) => Err(with_suggestion(&client, error).await),
            done => done,
        }
    });
    // A thread that still reads a file is not waited for.
    runtime.shutdown_background();
    outcome
}

/// The error, with the name that was probably meant instead of one that is not there.
async fn with_suggestion(client: &Client, error: anyhow::Error) -> anyhow::Error {
    match suggest::did_you_mean(client, &error).await {
        Some(question) => anyhow!("{} ({question})", output::chain(&error)),
        None => error,
    }
}

/// Tells what went wrong, in one sentence, and returns the exit code for it.
fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<OutputClosed>() || client_error(error).is_some_and(|e| e.is_broken_pipe()) {
        return BROKEN_PIPE.into();
    }
    if !error.is::<AlreadyReported>() {
        let text = match (client_error(error), context::socket_origin()) {
            (Some(Error::NotRunning { .. } | Error::NotASocket { .. }), Some(origin)) => {
                format!("{} (the path is from {origin})", output::chain(error))
            }
            _ => output::chain(error),
        };
        output::print_error(&text, std::io::stderr().is_terminal());
    }
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return interrupted.code.into();
    }
    if error.is::<WrongUsage>() {
        return args::USAGE.into();
    }
    match client_error(error) {
        Some(Error::Command { code, .. }) => verb::exit_code(*code),
        _ => ExitCode::FAILURE,
    }
}

fn client_error(error: &anyhow::Error) -> Option<&Error> {
    error.downcast_ref()
}
