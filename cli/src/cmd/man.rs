//! `sc man`: the manual's pages, made of the same definition as the help.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

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
        clap_mangen::generate_to((context.tree)(), &directory)
            .with_context(|| format!("write pages to {}", directory.display()))?;
        DONE
    }
}
