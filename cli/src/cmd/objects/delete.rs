//! `delete`: objects by their names.

use std::marker::PhantomData;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::named::Named;
use crate::context::Context;
use crate::output;
use crate::several::for_each;
use crate::verb::Verb;

/// A kind of object that is deleted without ado.
pub trait Deleted: Named {
    /// What the verb does.
    const ABOUT: &'static str;
    /// What one is called when it is deleted.
    const TITLE: &'static str;

    /// What else the verb is told.
    type Flags: Args;

    /// Deletes the object of a name.
    async fn delete(context: &Context, name: &str, flags: &Self::Flags) -> sc_client::Result<()>;
}

/// Of a kind whose deletion has but one way.
#[derive(Args)]
pub struct NoFlags {}

/// `delete`.
#[derive(Args)]
pub struct Delete<T: Deleted> {
    #[arg(value_name = T::VALUE_NAME, help = T::SEVERAL, required = true, add = T::names())]
    names: Vec<String>,
    #[command(flatten)]
    flags: T::Flags,
    #[arg(skip)]
    kind: PhantomData<T>,
}

impl<T: Deleted> Verb for Delete<T> {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = T::ABOUT;
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let names = context.remotes.objects(&self.names)?;
        for_each(&context, &names, async |name| {
            T::delete(&context, name, &self.flags).await?;
            output::done(&context, format!("{} {name} deleted", T::TITLE))
        })
        .await
    }
}
