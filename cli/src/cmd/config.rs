//! `sc config`: an instance's configuration.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sc_api::Instance;

use super::config_device::Device;
use super::objects::change::Edit;
use super::objects::instance_form::InstanceForm;
use super::objects::named::One;
use super::objects::set::{Set, Unset};
use crate::complete::{instance_names, key_names};
use crate::context::Context;
use crate::keys;
use crate::output;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Config;

impl Group for Config {
    const NAME: &'static str = "config";
    const ABOUT: &'static str = "Configure instances";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<Get>(),
        Entry::verb::<Set<One<Instance>>>(),
        Entry::verb::<Unset<One<Instance>>>(),
        Entry::verb::<Show>(),
        Entry::verb::<Edit<Instance>>(),
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
    #[arg(value_name = "KEY", add = key_names())]
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
        keys::print(&config, &self.key)?;
        DONE
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
        output::yaml(&InstanceForm::from(instance))?;
        DONE
    }
}
