//! `sc image alias`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sc_api::{ImageAlias, ImageAliasesPost};

use crate::columns::{self, Column};
use crate::complete::image_names;
use crate::context::Context;
use crate::output::{self, Format};
use crate::several::for_each;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Alias;

impl Group for Alias {
    const NAME: &'static str = "alias";
    const ABOUT: &'static str = "Manage aliases of images";
    const VERBS: &'static [Entry] =
        &[Entry::verb::<List>(), Entry::verb::<Create>(), Entry::verb::<Delete>()];
}

const COLUMNS: &[Column<ImageAlias>] = &[
    Column { letter: 'a', title: "ALIAS", about: "", value: |a| a.name.clone() },
    Column { letter: 'f', title: "FINGERPRINT", about: "", value: short },
    Column { letter: 't', title: "TYPE", about: "", value: |a| a.alias_type.to_uppercase() },
    Column { letter: 'd', title: "DESCRIPTION", about: "", value: |a| a.description.clone() },
];

fn short(alias: &ImageAlias) -> String {
    alias.target.chars().take(12).collect()
}

/// `sc image alias list`.
#[derive(Debug, Args)]
pub struct List {
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List aliases";
    const ALIASES: &'static [&'static str] = &["ls"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let mut aliases = context.client.image_aliases().await?;
        aliases.sort_by(|a, b| a.name.cmp(&b.name));
        let shown: Vec<_> = COLUMNS.iter().collect();
        output::list(self.format, &aliases, &columns::titles(&shown), || {
            columns::rows(&shown, &aliases)
        })?;
        DONE
    }
}

/// `sc image alias create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The alias
    #[arg(value_name = "ALIAS")]
    name: String,
    /// The image's fingerprint, or a beginning of it
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: String,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

impl Verb for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Give an image an alias";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let post = ImageAliasesPost {
            name: context.remotes.object(&self.name)?,
            description: self.description,
            target: self.fingerprint,
        };
        context.client.create_image_alias(&post).await?;
        DONE
    }
}

/// `sc image alias delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The aliases
    #[arg(value_name = "ALIAS", required = true, add = image_names())]
    names: Vec<String>,
}

impl Verb for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Delete aliases; the images stay";
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let names = context.remotes.objects(&self.names)?;
        for_each(&names, async |name| Ok(context.client.delete_image_alias(name).await?)).await
    }
}
