//! The command line as a whole, and what is said of a wrong one.

use std::io::ErrorKind::BrokenPipe;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use crate::cmd;
use crate::output;
use crate::suggest;
use crate::verb;

/// The id of the flag that every verb has.
pub const QUIET: &str = "quiet";

/// The exit code of a command that was used wrongly.
pub const USAGE: u8 = 2;

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
        .help("Show no progress, and not what was done");
    let command = Command::new("sc")
        .version(env!("CARGO_PKG_VERSION"))
        .about("System containers: whole operating systems, unprivileged")
        .after_help(ENVIRONMENT)
        .styles(styles)
        .arg(quiet);
    verb::with_verbs(command, cmd::ROOT).disable_help_subcommand(false)
}

const ENVIRONMENT: &str = "\
Environment:
  SC_DIR      where the daemon keeps its state [default: /var/lib/sc]
  SC_SOCKET   the daemon's socket [default: $SC_DIR/unix.socket]
  SC_REMOTE   the remote of images that are named without one
              [default: what `sc remote switch` chose, or local]
  SC_CONF     where that choice is kept
              [default: $XDG_CONFIG_HOME/sc, or ~/.config/sc]
  SC_PROJECT  the project: there is `default` alone
  NO_COLOR    no colours, if it is set and not empty

Exit codes:
  0 done, 1 failed, 2 used wrongly, 130 interrupted, 143 terminated,
  141 the reader of the output left;
  exec and shell: the program's own, 127 not found, 126 not executable,
  128 + n by signal n";

/// Shows the help that was asked for, or says in one sentence what is wrong.
pub fn report_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match error.print().and_then(|()| std::io::stdout().flush()) {
                // A reader that left has what it wanted.
                Err(error) if error.kind() != BrokenPipe => {
                    let why = output::chain(&anyhow::Error::new(error));
                    let text = format!("write standard output: {why}");
                    output::print_error(&text, std::io::stderr().is_terminal());
                    ExitCode::FAILURE
                }
                _ => ExitCode::SUCCESS,
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            USAGE.into()
        }
        _ => {
            let sentence = unbuilt(error).unwrap_or_else(|| said(error));
            output::print_error(&sentence, std::io::stderr().is_terminal());
            USAGE.into()
        }
    }
}

/// Verbs of LXD's and Incus' that there are not, wherever they stand in their trees.
const UNBUILT: &[&str] = &[
    "acl",
    "add",
    "alias",
    "assign",
    "attach",
    "auth",
    "bucket",
    "cluster",
    "copy",
    "cp",
    "detach",
    "edit",
    "export",
    "file",
    "forward",
    "freeze",
    "generate-mac",
    "get",
    "get-property",
    "import",
    "join",
    "load-balancer",
    "manpage",
    "metadata",
    "migrate",
    "mount",
    "move",
    "mv",
    "pause",
    "peer",
    "project",
    "publish",
    "pull",
    "push",
    "rebuild",
    "refresh",
    "remove",
    "rename",
    "restore",
    "resume",
    "set",
    "set-property",
    "set-url",
    "show",
    "snapshot",
    "template",
    "top",
    "trust",
    "unfreeze",
    "unset",
    "unset-property",
    "volume",
    "wait",
    "warning",
    "zone",
];

/// What is said of a verb that LXD's users know and that there is not. What is written alike would
/// not be what they want.
fn unbuilt(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let usage = usage_sentence(&error.to_string());
    let (_, see) = usage.rsplit_once(SEE)?;
    UNBUILT.contains(&verb.as_str()).then(|| {
        format!("the verb {verb:?} of LXD's is not built here; see {see} for those there are")
    })
}

/// What is wrong, in one sentence.
fn said(error: &clap::Error) -> String {
    let sentence = usage_sentence(&error.to_string());
    match slip(error, &sentence) {
        None => match nearest_value(error) {
            Some(meant) => format!("{sentence} ({})", suggest::question(meant)),
            None => sentence,
        },
        Some((typed, meant, see)) => {
            format!("there is no {typed:?} ({}){SEE}{see}", suggest::question(&meant))
        }
    }
}

/// What was typed and meant, and where to read on. What clap suggests, which weighs a slip in a short word
/// as if it were another word, serves where there is nothing nearer.
fn slip<'s>(error: &clap::Error, sentence: &'s str) -> Option<(String, String, &'s str)> {
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return None;
    }
    let typed = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter();
    let typed = typed.filter_map(|kind| error.get(kind)).find_map(|value| match value {
        ContextValue::String(typed) => Some(typed.clone()),
        _ => None,
    })?;
    let (_, see) = sentence.rsplit_once(SEE)?;
    let mut tree = tree();
    tree.build();
    let verbs = see.trim_matches('`').split(' ').skip(1).take_while(|word| *word != "--help");
    let command =
        verbs.into_iter().try_fold(&tree, |command, verb| command.find_subcommand(verb))?;
    let names: Vec<String> = match typed.strip_prefix("--") {
        Some(_) => {
            command.get_arguments().filter_map(|a| Some(format!("--{}", a.get_long()?))).collect()
        }
        None => command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect(),
    };
    let meant = suggest::nearest(&typed, &names)
        .or_else(|| suggest::shortened(&typed, &names))
        .or_else(|| only_suggested(error))?
        .to_owned();
    Some((typed, meant, see))
}

/// The verb or flag that clap suggests, if it is one.
fn only_suggested(error: &clap::Error) -> Option<&str> {
    let suggested = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg];
    match suggested.into_iter().find_map(|kind| error.get(kind))? {
        ContextValue::String(name) => Some(name),
        ContextValue::Strings(names) if names.len() == 1 => names.first().map(String::as_str),
        _ => None,
    }
}

/// The value that was probably meant.
fn nearest_value(error: &clap::Error) -> Option<&str> {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidValue) else {
        return None;
    };
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(names)) => suggest::nearest(typed, names),
        _ => None,
    }
}

/// Between what is wrong and where to read on.
const SEE: &str = "; see ";

/// Makes one sentence of clap's paragraphs: what is wrong, what may be meant, where to read on.
fn usage_sentence(text: &str) -> String {
    let mut sentence = String::new();
    for paragraph in text.split("\n\n").map(str::trim) {
        let joined = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(what) = joined.strip_prefix("error: ") {
            sentence = what.to_owned();
        } else if let Some(tip) = joined.strip_prefix("tip: ").filter(|tip| !alike(tip)) {
            sentence = format!("{sentence} ({tip})");
        } else if let Some(usage) = joined.strip_prefix("Usage: ") {
            let verb: Vec<&str> = usage
                .split(' ')
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                .collect();
            sentence = format!("{sentence}{SEE}`{} --help`", verb.join(" "));
        } else if joined.starts_with('[') {
            sentence = format!("{sentence} {joined}");
        }
    }
    sentence
}

/// Whether a tip of clap's is what might be meant, which is said as it is for names and keys.
fn alike(tip: &str) -> bool {
    tip.starts_with("a similar ") || tip.starts_with("some similar ")
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
    fn the_help_of_the_environment_needs_no_wide_terminal() {
        assert!(ENVIRONMENT.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn a_verb_that_lxd_has_is_said_to_be_not_built_and_no_other_is_guessed() {
        let said = |words: &[&str]| unbuilt(&tree().try_get_matches_from(words).unwrap_err());
        let text =
            "the verb \"restore\" of LXD's is not built here; see `sc --help` for those there are";
        assert_eq!(said(&["sc", "restore", "c1"]).unwrap(), text);
        assert!(said(&["sc", "network", "set", "br0"]).unwrap().contains("`sc network --help`"));
        assert_eq!(said(&["sc", "lst"]), None);
        assert_eq!(said(&["sc", "stop", "--forc"]), None);
    }

    #[test]
    fn whatever_was_mistyped_what_was_meant_is_asked_in_one_form() {
        let said = |words: &[&str]| said(&tree().try_get_matches_from(words).unwrap_err());
        for (words, text) in [
            (
                &["sc", "lanch"][..],
                r#"there is no "lanch" (did you mean "launch"?); see `sc --help`"#,
            ),
            (&["sc", "lisst"], r#"there is no "lisst" (did you mean "list"?); see `sc --help`"#),
            (
                &["sc", "stop", "--forc"],
                r#"there is no "--forc" (did you mean "--force"?); see `sc stop --help`"#,
            ),
        ] {
            assert_eq!(said(words), text);
        }
        let value = said(&["sc", "list", "-f", "yml"]);
        assert!(value.ends_with(r#"(did you mean "yaml"?)"#), "{value}");
        let nothing_alike = said(&["sc", "list", "-f", "xml"]);
        assert!(nothing_alike.ends_with(']'), "{nothing_alike}");
    }

    #[test]
    fn a_usage_error_is_one_sentence() {
        let error = tree().try_get_matches_from(["sc", "stop", "--forc", "c1"]).unwrap_err();
        let text = usage_sentence(&error.to_string());
        assert_eq!(text, "unexpected argument '--forc' found; see `sc stop --help`");
        let error = tree().try_get_matches_from(["sc", "start"]).unwrap_err();
        assert!(!usage_sentence(&error.to_string()).contains('\n'));
    }
}
