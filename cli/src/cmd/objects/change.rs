//! `set`, `unset` and `edit`: what an object has of its own is read, changed, and put back with
//! its ETag, so that a change that another client makes meanwhile is not lost.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sc_api::{ConfigMap, DeviceMap};
use sc_client::{Client, Tagged};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::named::{Named, One};
use crate::context::Context;
use crate::editor;
use crate::verb::{DONE, Verb};
use crate::{keys, keyvalue};

/// A kind of object with keys and devices.
pub trait Changeable: Named {
    /// What of it can be changed, as `edit` shows it.
    type Form: Serialize + DeserializeOwned;
    /// What it is called in messages.
    const WORD: &'static str;
    /// What `edit` does.
    const EDIT: &'static str;

    /// What the object of a name has.
    async fn read(client: &Client, name: &str) -> sc_client::Result<Tagged<Self::Form>>;

    /// Puts it back, unless it is no longer what the ETag is of.
    async fn replace(
        context: &Context,
        name: &str,
        form: Self::Form,
        etag: Option<&str>,
    ) -> Result<()>;

    /// Its keys.
    fn config(form: &mut Self::Form) -> &mut ConfigMap;

    /// Its devices.
    fn devices(form: &mut Self::Form) -> &mut DeviceMap;
}

/// Changes what an object has, unless it changes meanwhile.
pub async fn change<T: Changeable>(
    context: &Context,
    name: &str,
    change: impl FnOnce(&mut T::Form) -> Result<()>,
) -> Result<ExitCode> {
    let name = context.remotes.object(name)?;
    let Tagged { value: mut form, etag } = T::read(&context.client, &name).await?;
    change(&mut form)?;
    T::replace(context, &name, form, etag.as_deref()).await?;
    DONE
}

/// `set`.
#[derive(Args)]
pub struct Set<T: Changeable> {
    #[command(flatten)]
    one: One<T>,
    /// The keys; a single KEY VALUE is understood as well, and an empty value unsets
    #[arg(
        value_name = "KEY=VALUE",
        required = true,
        allow_hyphen_values = true,
        add = crate::complete::settings()
    )]
    settings: Vec<String>,
}

impl<T: Changeable> Verb for Set<T> {
    const NAME: &'static str = "set";
    const ABOUT: &'static str = "Set keys";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.settings)?;
        change::<T>(&context, &self.one.name, |form| keys::set(T::config(form), settings)).await
    }
}

/// `unset`.
#[derive(Args)]
pub struct Unset<T: Changeable> {
    #[command(flatten)]
    one: One<T>,
    /// The key
    #[arg(value_name = "KEY", add = crate::complete::key_names())]
    key: String,
}

impl<T: Changeable> Verb for Unset<T> {
    const NAME: &'static str = "unset";
    const ABOUT: &'static str = "Remove a key";

    async fn run(self, context: Context) -> Result<ExitCode> {
        change::<T>(&context, &self.one.name, |form| keys::unset(T::config(form), &self.key)).await
    }
}

/// `edit`.
#[derive(Args)]
pub struct Edit<T: Changeable> {
    #[command(flatten)]
    one: One<T>,
}

impl<T: Changeable> Verb for Edit<T> {
    const NAME: &'static str = "edit";
    const ABOUT: &'static str = T::EDIT;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.one.name)?;
        let Tagged { value, etag } = T::read(&context.client, &name).await?;
        editor::edit(&format!("{} {name}", T::WORD), &value, async |form| {
            T::replace(&context, &name, form, etag.as_deref()).await
        })
        .await?;
        DONE
    }
}
