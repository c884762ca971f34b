//! The tree of verbs, built no further than the one that was asked for.
//!
//! Each verb is a [`Verb`]: its arguments by clap's derive, and what it does. Groups hold verbs.
//! Their arguments are added when clap comes to them (`Command::defer`), so a command pays for its
//! own and for the names of its neighbours, not for sixty others.

use std::io::IsTerminal;
use std::pin::Pin;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cmd;
use crate::context::Context;
use crate::output;

/// The id of the flag that every verb has.
pub const QUIET: &str = "quiet";

/// The exit code of a command that was used wrongly.
const USAGE: u8 = 2;

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

fn with_verbs(command: Command, verbs: &'static [Entry]) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(verbs.iter().map(Entry::command))
}

/// The whole command line.
pub fn tree() -> Command {
    let styles = Styles::styled()
        .header(AnsiColor::Green.on_default().bold())
        .usage(AnsiColor::Green.on_default().bold())
        .literal(AnsiColor::Cyan.on_default().bold())
        .placeholder(AnsiColor::Cyan.on_default());
    let quiet = Arg::new(QUIET)
        .short('q')
        .long("quiet")
        .global(true)
        .action(ArgAction::SetTrue)
        .display_order(900)
        .help("Show no progress");
    let command = Command::new("sc")
        .version(env!("CARGO_PKG_VERSION"))
        .about("System containers: whole operating systems, unprivileged")
        .after_help(ENVIRONMENT)
        .styles(styles)
        .arg(quiet);
    with_verbs(command, cmd::ROOT).disable_help_subcommand(false)
}

const ENVIRONMENT: &str = "\
Environment:
  SC_DIR     where the daemon keeps its state [default: /var/lib/sc]
  SC_SOCKET  the daemon's socket [default: $SC_DIR/unix.socket]
  SC_REMOTE  the remote that names without one mean [default: local]
  NO_COLOR   no colours, whatever its value

Exit codes: 0 done, 1 failed, 2 used wrongly; exec and shell: those of the program.";

/// The verb that was asked for, and its matches.
pub fn find<'m>(
    verbs: &'static [Entry],
    matches: &'m ArgMatches,
) -> (&'static Entry, &'m ArgMatches) {
    let (name, matches) = matches.subcommand().expect("clap asks for a subcommand");
    let entry = verbs.iter().find(|entry| entry.name == name).expect("clap knows our verbs only");
    if entry.verbs.is_empty() { (entry, matches) } else { find(entry.verbs, matches) }
}

/// Shows the help that was asked for, or says in one sentence what is wrong.
pub fn report_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that left has what it wanted.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            USAGE.into()
        }
        _ => {
            output::print_error(
                &usage_sentence(&error.to_string()),
                std::io::stderr().is_terminal(),
            );
            USAGE.into()
        }
    }
}

/// Makes one sentence of clap's paragraphs: what is wrong, what may be meant, where to read on.
fn usage_sentence(text: &str) -> String {
    let mut sentence = String::new();
    for paragraph in text.split("\n\n").map(str::trim) {
        let joined = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(what) = joined.strip_prefix("error: ") {
            sentence = what.to_owned();
        } else if let Some(tip) = joined.strip_prefix("tip: ") {
            sentence = format!("{sentence} ({tip})");
        } else if let Some(usage) = joined.strip_prefix("Usage: ") {
            let verb: Vec<&str> = usage
                .split(' ')
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                .collect();
            sentence = format!("{sentence}; see `{} --help`", verb.join(" "));
        } else if joined.starts_with('[') {
            sentence = format!("{sentence} {joined}");
        }
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_tree_is_sound() {
        tree().debug_assert();
    }

    #[test]
    fn the_help_of_a_verb_says_what_it_does() {
        let error = tree().try_get_matches_from(["sc", "stop", "--help"]).unwrap_err();
        assert!(error.to_string().starts_with("Stop instances\n"), "{error}");
    }

    #[test]
    fn every_verb_has_a_line_of_help() {
        fn check(command: &Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        let mut tree = tree();
        tree.build();
        check(&tree);
    }

    #[test]
    fn a_usage_error_is_one_sentence() {
        let error = tree().try_get_matches_from(["sc", "stop", "--forc", "c1"]).unwrap_err();
        let text = usage_sentence(&error.to_string());
        assert!(text.starts_with("unexpected argument '--forc' found"), "{text}");
        assert!(text.contains("--force") && text.ends_with("see `sc stop --help`"), "{text}");
        let error = tree().try_get_matches_from(["sc", "start"]).unwrap_err();
        assert!(!usage_sentence(&error.to_string()).contains('\n'));
    }
}
