//! `sc config`: an instance's configuration.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use sc_api::{ConfigMap, DeviceMap, Instance, InstancePut};
use sc_client::Tagged;
use serde::{Deserialize, Serialize};

use super::config_device::Device;
use crate::complete::instance_names;
use crate::context::Context;
use crate::editor::{self, Edited};
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{keyvalue, output, progress};

/// The group.
pub struct Config;

impl Group for Config {
    const NAME: &'static str = "config";
    const ABOUT: &'static str = "Configure instances";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<Get>(),
        Entry::verb::<Set>(),
        Entry::verb::<Unset>(),
        Entry::verb::<Show>(),
        Entry::verb::<Edit>(),
        Entry::group::<Device>(),
    ];
}

/// `sc config get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
    /// What holds, profiles included
    #[arg(short, long)]
    expanded: bool,
}

impl Verb for Get {
    const NAME: &'static str = "get";
    const ABOUT: &'static str = "Show the value of a key";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let instance = context.client.instance(&name).await?.value;
        let config = if self.expanded { instance.expanded_config } else { instance.config };
        output::line(config.get(&self.key).map_or("", String::as_str))?;
        DONE
    }
}

/// `sc config set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The keys; a single KEY VALUE is understood as well
    #[arg(value_name = "KEY=VALUE", required = true, allow_hyphen_values = true)]
    settings: Vec<String>,
}

impl Verb for Set {
    const NAME: &'static str = "set";
    const ABOUT: &'static str = "Set keys";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.settings)?;
        change(&context, &self.name, |put| {
            put.config.extend(settings);
            Ok(())
        })
        .await
    }
}

/// `sc config unset`.
#[derive(Debug, Args)]
pub struct Unset {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
}

impl Verb for Unset {
    const NAME: &'static str = "unset";
    const ABOUT: &'static str = "Remove a key";

    async fn run(self, context: Context) -> Result<ExitCode> {
        change(&context, &self.name, |put| match put.config.remove(&self.key) {
            Some(_) => Ok(()),
            None => bail!("the key {:?} is not set", self.key),
        })
        .await
    }
}

/// `sc config show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// What holds, profiles included
    #[arg(short, long)]
    expanded: bool,
}

impl Verb for Show {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = "Show the configuration of an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let mut instance = context.client.instance(&name).await?.value;
        if self.expanded {
            instance.config = std::mem::take(&mut instance.expanded_config);
            instance.devices = std::mem::take(&mut instance.expanded_devices);
        }
        output::yaml(&Editable::from(instance))?;
        DONE
    }
}

/// `sc config edit`.
#[derive(Debug, Args)]
pub struct Edit {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
}

impl Verb for Edit {
    const NAME: &'static str = "edit";
    const ABOUT: &'static str = "Edit the configuration of an instance, or read it from input";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let Tagged { value, etag } = context.client.instance(&name).await?;
        match editor::edit(&format!("instance {name}"), &Editable::from(value))? {
            Edited::Unchanged => DONE,
            Edited::Changed(new) => replace(&context, &name, &new.into(), etag.as_deref()).await,
        }
    }
}

/// What `show` prints and `edit` reads. A field that is misspelt is an error, as the others
/// would silently become empty.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Editable {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: ConfigMap,
    #[serde(default)]
    description: String,
    #[serde(default)]
    devices: DeviceMap,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default)]
    profiles: Vec<String>,
}

impl From<Instance> for Editable {
    fn from(instance: Instance) -> Self {
        Self {
            architecture: instance.architecture,
            config: instance.config,
            description: instance.description,
            devices: instance.devices,
            ephemeral: instance.ephemeral,
            profiles: instance.profiles,
        }
    }
}

impl From<Editable> for InstancePut {
    fn from(edited: Editable) -> Self {
        Self {
            architecture: edited.architecture,
            description: edited.description,
            config: edited.config,
            devices: edited.devices,
            profiles: Some(edited.profiles),
            ephemeral: edited.ephemeral,
            restore: String::new(),
        }
    }
}

/// Changes what an instance has, unless it changes meanwhile.
pub async fn change(
    context: &Context,
    name: &str,
    change: impl FnOnce(&mut InstancePut) -> Result<()>,
) -> Result<ExitCode> {
    let name = context.remotes.object(name)?;
    let Tagged { value, etag } = context.client.instance(&name).await?;
    let mut put = Editable::from(value).into();
    change(&mut put)?;
    replace(context, &name, &put, etag.as_deref()).await
}

async fn replace(
    context: &Context,
    name: &str,
    put: &InstancePut,
    etag: Option<&str>,
) -> Result<ExitCode> {
    let operation = context.client.replace_instance(name, put, etag).await?;
    progress::wait(context, &format!("Configuring {name}"), operation).await?;
    DONE
}
