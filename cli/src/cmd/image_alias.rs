//! `sc image alias`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use sc_api::{ImageAlias, ImageAliasesPost};

use super::objects::delete::{Delete, Deleted, NoFlags};
use super::objects::list::{List, Listed};
use super::objects::named::Named;
use crate::columns::Column;
use crate::complete::alias_names;
use crate::context::Context;
use crate::output;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Alias;

impl Group for Alias {
    const NAME: &'static str = "alias";
    const ABOUT: &'static str = "Manage aliases of images";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<ImageAlias>>(),
        Entry::verb::<Create>(),
        Entry::verb::<Delete<ImageAlias>>(),
    ];
}

impl Named for ImageAlias {
    const VALUE_NAME: &'static str = "ALIAS";
    const ONE: &'static str = "The alias";
    const SEVERAL: &'static str = "The aliases";

    fn names() -> ArgValueCompleter {
        alias_names()
    }
}

impl Listed for ImageAlias {
    const ABOUT: &'static str = "List aliases";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'a', title: "ALIAS", about: "", value: |a| a.name.clone() },
        Column { letter: 'f', title: "FINGERPRINT", about: "", value: short },
        Column { letter: 't', title: "TYPE", about: "", value: |a| a.alias_type.to_uppercase() },
        Column { letter: 'd', title: "DESCRIPTION", about: "", value: |a| a.description.clone() },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        let mut aliases = context.client.image_aliases().await?;
        aliases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(aliases)
    }
}

impl Deleted for ImageAlias {
    const ABOUT: &'static str = "Delete aliases; the images stay";
    const TITLE: &'static str = "Alias";

    type Flags = NoFlags;

    async fn delete(context: &Context, name: &str, _: &NoFlags) -> sc_client::Result<()> {
        context.client.delete_image_alias(name).await
    }
}

fn short(alias: &ImageAlias) -> String {
    alias.target.chars().take(12).collect()
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
            name: context.remotes.object(&self.name)?.parse()?,
            description: self.description,
            target: self.fingerprint,
        };
        context.client.create_image_alias(&post).await?;
        output::done(&context, format!("Alias {} created", post.name))?;
        DONE
    }
}
