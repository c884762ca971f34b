//! `sc completion`: the script by which a shell asks for completions.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::complete;
use crate::context::Context;
use crate::output;
use crate::verb::{DONE, Verb};

/// Our own, as the library's lets bash split words where ours go on.
const BASH: &str = include_str!("completion.bash");

/// `sc completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Shells that can be completed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl Verb for Completion {
    const NAME: &'static str = "completion";
    const ABOUT: &'static str = "Print the script that makes a shell complete our words";

    async fn run(self, _: Context) -> Result<ExitCode> {
        let name = match self.shell {
            Shell::Bash => return output::print(BASH).and(DONE),
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
            Shell::Elvish => "elvish",
            Shell::Powershell => "powershell",
        };
        let shells = Shells::builtins();
        let shell = shells.completer(name).context("this build completes for no such shell")?;
        let mut script = Vec::new();
        shell
            .write_registration(complete::VARIABLE, "sc", "sc", "sc", &mut script)
            .context("write the script")?;
        output::print(script)?;
        DONE
    }
}
