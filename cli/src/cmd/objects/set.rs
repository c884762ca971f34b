//! `set` and `unset`: the keys of an object, or of one of its devices.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::engine::ArgValueCompleter;
use sc_api::ConfigMap;

use super::change::{Changeable, change};
use super::named::{One, named};
use crate::complete;
use crate::context::Context;
use crate::verb::Verb;
use crate::{keys, keyvalue};

/// Arguments that name something with keys.
pub trait Keyed: Args + 'static {
    /// The kind of object that it is, or is a part of.
    type Object: Changeable;
    /// What `set` does.
    const SET: &'static str;
    /// What `unset` does.
    const UNSET: &'static str;

    /// The object's name.
    fn name(&self) -> &str;

    /// Sets keys; an empty value removes its key.
    fn set(&self, form: &mut <Self::Object as Changeable>::Form, to: ConfigMap) -> Result<()>;

    /// Removes a key.
    fn unset(&self, form: &mut <Self::Object as Changeable>::Form, key: &str) -> Result<()>;

    /// What the help of `set` says of its keys.
    fn help() -> Option<String> {
        None
    }

    /// Completes its keys that are set.
    fn key_names() -> ArgValueCompleter;

    /// Completes its keys, with the `=` before their values.
    fn settings() -> ArgValueCompleter;
}

impl<T: Changeable + 'static> Keyed for One<T> {
    type Object = T;
    const SET: &'static str = "Set keys";
    const UNSET: &'static str = "Remove a key";

    fn name(&self) -> &str {
        &self.name
    }

    fn set(&self, form: &mut T::Form, to: ConfigMap) -> Result<()> {
        keys::set(T::config(form), to)
    }

    fn unset(&self, form: &mut T::Form, key: &str) -> Result<()> {
        keys::unset(T::config(form), key)
    }

    fn help() -> Option<String> {
        Some(keys::help())
    }

    fn key_names() -> ArgValueCompleter {
        complete::completer(async |client| {
            let mut form = named::<T>(client, 3).await?;
            let keys = T::config(&mut form).keys().filter(|key| !keys::is_record(key));
            Ok(keys.map(|key| (key.clone(), String::new())).collect())
        })
    }

    fn settings() -> ArgValueCompleter {
        complete::settings()
    }
}

/// `set`.
#[derive(Args)]
pub struct Set<P: Keyed> {
    #[command(flatten)]
    of: P,
    /// The keys; a single KEY VALUE is understood as well, and an empty value unsets
    #[arg(
        value_name = "KEY=VALUE",
        required = true,
        allow_hyphen_values = true,
        add = P::settings()
    )]
    settings: Vec<String>,
}

impl<P: Keyed> Verb for Set<P> {
    const NAME: &'static str = "set";
    const ABOUT: &'static str = P::SET;

    fn augment(command: Command) -> Command {
        let command = Self::augment_args(command);
        match P::help() {
            Some(help) => command.after_help(help),
            None => command,
        }
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.settings)?;
        let name = self.of.name();
        change::<P::Object>(&context, name, |form| self.of.set(form, settings.clone())).await
    }
}

/// `unset`.
#[derive(Args)]
pub struct Unset<P: Keyed> {
    #[command(flatten)]
    of: P,
    /// The key
    #[arg(value_name = "KEY", add = P::key_names())]
    key: String,
}

impl<P: Keyed> Verb for Unset<P> {
    const NAME: &'static str = "unset";
    const ABOUT: &'static str = P::UNSET;

    async fn run(self, context: Context) -> Result<ExitCode> {
        change::<P::Object>(&context, self.of.name(), |form| self.of.unset(form, &self.key)).await
    }
}
