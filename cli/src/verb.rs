//! Verbs, and the tree that they make.
//!
//! Each verb is a [`Verb`]: its arguments by clap's derive, and what it does. Groups hold verbs.
//! Their arguments are added when clap comes to them (`Command::defer`), so a command pays for its
//! own and for the names of its neighbours, not for sixty others.

use std::pin::Pin;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, Command};

use crate::context::Context;

/// Done.
pub const DONE: Result<ExitCode> = Ok(ExitCode::SUCCESS);

/// An exit code as the shell has it: one byte, and never 0 for what is not.
pub fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// One verb: its arguments, and what it does with them.
pub trait Verb: clap::Args + Sized {
    /// Its name.
    const NAME: &'static str;
    /// What it does, in a line of the help.
    const ABOUT: &'static str;
    /// Other names.
    const ALIASES: &'static [&'static str] = &[];

    /// Does it.
    fn run(self, context: Context) -> impl Future<Output = Result<ExitCode>>;

    /// Adds its arguments to its command.
    fn augment(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Verbs under one name.
pub trait Group {
    /// Its name.
    const NAME: &'static str;
    /// What it is about.
    const ABOUT: &'static str;
    /// Its verbs.
    const VERBS: &'static [Entry];
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<ExitCode>> + 'a>>;

/// A place in the tree.
pub struct Entry {
    name: &'static str,
    about: &'static str,
    aliases: &'static [&'static str],
    augment: fn(Command) -> Command,
    verbs: &'static [Entry],
    /// Runs the verb; a group never is, as clap asks for one of its verbs.
    pub run: fn(&ArgMatches, Context) -> Running<'_>,
}

impl Entry {
    /// The place of a verb.
    pub const fn verb<V: Verb>() -> Self {
        Self {
            name: V::NAME,
            about: V::ABOUT,
            aliases: V::ALIASES,
            augment: augment_verb::<V>,
            verbs: &[],
            run: run_verb::<V>,
        }
    }

    /// The place of a group.
    pub const fn group<G: Group>() -> Self {
        Self {
            name: G::NAME,
            about: G::ABOUT,
            aliases: &[],
            augment: augment_group::<G>,
            verbs: G::VERBS,
            run: |_, _| unreachable!("a group always has a subcommand"),
        }
    }

    fn command(&self) -> Command {
        Command::new(self.name).about(self.about).visible_aliases(self.aliases).defer(self.augment)
    }
}

fn run_verb<V: Verb>(matches: &ArgMatches, context: Context) -> Running<'_> {
    Box::pin(async move { V::from_arg_matches(matches)?.run(context).await })
}

/// Adds a verb's arguments. The documentation of their types is not for users: clap took it for
/// what the verb does.
fn augment_verb<V: Verb>(command: Command) -> Command {
    V::augment(command).about(V::ABOUT).long_about(None)
}

fn augment_group<G: Group>(command: Command) -> Command {
    with_verbs(command, G::VERBS)
}

/// Adds verbs, one of which must be asked for.
pub fn with_verbs(command: Command, verbs: &'static [Entry]) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(verbs.iter().map(Entry::command))
}

/// The verb that was asked for, and its matches.
pub fn find<'m>(
    verbs: &'static [Entry],
    matches: &'m ArgMatches,
) -> (&'static Entry, &'m ArgMatches) {
    let (name, matches) = matches.subcommand().expect("clap asks for a subcommand");
    let entry = verbs.iter().find(|entry| entry.name == name).expect("clap knows our verbs only");
    if entry.verbs.is_empty() { (entry, matches) } else { find(entry.verbs, matches) }
}
