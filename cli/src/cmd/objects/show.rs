//! `show`: an object as YAML.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sc_client::{Client, Tagged};
use serde::Serialize;

use super::named::{Named, One};
use crate::context::Context;
use crate::output;
use crate::verb::{DONE, Verb};

/// A kind of object that is shown as the API has it.
pub trait Shown: Named + Serialize + Sized {
    /// What the verb does.
    const ABOUT: &'static str;

    /// The object of a name.
    async fn get(client: &Client, name: &str) -> sc_client::Result<Tagged<Self>>;
}

/// `show`.
#[derive(Args)]
pub struct Show<T: Shown> {
    #[command(flatten)]
    one: One<T>,
}

impl<T: Shown> Verb for Show<T> {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = T::ABOUT;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.one.name)?;
        output::yaml(&T::get(&context.client, &name).await?.value)?;
        DONE
    }
}
