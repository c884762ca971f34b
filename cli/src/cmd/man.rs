//! `sc man`: the manual's pages, made of the same definition as the help.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, roman};

use crate::context::Context;
use crate::verb::{DONE, Verb};

/// `sc man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Where to, such as /usr/local/share/man/man1; made if it is missing
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Verb for Man {
    const NAME: &'static str = "man";
    const ABOUT: &'static str = "Write the pages of the manual, one for each command";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let directory = self.directory;
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("make the folder {}", directory.display()))?;
        let mut tree = (context.tree)().disable_help_subcommand(true);
        tree.build();
        write_all(tree, &directory)
            .with_context(|| format!("write pages to {}", directory.display()))?;
        DONE
    }
}

/// Writes the page of a command and those of its verbs.
fn write_all(mut command: Command, directory: &Path) -> io::Result<()> {
    for verb in command.get_subcommands() {
        write_all(verb.clone(), directory)?;
    }
    let synopsis = synopsis(&mut command);
    let notes = command.get_after_help().map(|help| notes(&help.to_string()));
    let has_verbs = command.has_subcommands();
    let page = Page::new(command);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    synopsis.to_writer(&mut text)?;
    page.render_options_section(&mut text)?;
    if has_verbs {
        page.render_subcommands_section(&mut text)?;
    }
    notes.unwrap_or_default().to_writer(&mut text)?;
    std::fs::write(directory.join(page.get_filename()), text)
}

/// The usage as the help has it: the library's own leaves out the values of options, and what may be given
/// again.
fn synopsis(command: &mut Command) -> Roff {
    let usage = command.render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage: "))]);
    roff
}

/// What stands below the help, line by line: the library's own section fills its tables as paragraphs.
fn notes(help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in help.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}
