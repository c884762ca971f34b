//! `sc config device`: an instance's own devices.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::config::change;
use crate::complete::instance_names;
use crate::context::Context;
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{keyvalue, output};

/// The group.
pub struct Device;

impl Group for Device {
    const NAME: &'static str = "device";
    const ABOUT: &'static str = "Manage devices of instances";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List>(),
        Entry::verb::<Show>(),
        Entry::verb::<Add>(),
        Entry::verb::<Set>(),
        Entry::verb::<Override>(),
        Entry::verb::<Remove>(),
    ];
}

/// `sc config device list`.
#[derive(Debug, Args)]
pub struct List {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List an instance's own devices";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let devices = context.client.instance(&name).await?.value.devices;
        output::print(devices.keys().map(|name| format!("{name}\n")).collect::<String>())?;
        DONE
    }
}

/// `sc config device show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
}

impl Verb for Show {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = "Show an instance's own devices";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        output::yaml(&context.client.instance(&name).await?.value.devices)?;
        DONE
    }
}

/// `sc config device add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The device's name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Its type: disk, nic
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its keys
    #[arg(value_name = "KEY=VALUE")]
    keys: Vec<String>,
}

impl Verb for Add {
    const NAME: &'static str = "add";
    const ABOUT: &'static str = "Add a device to an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let mut keys = keyvalue::settings(&self.keys)?;
        keys.insert("type".into(), self.kind);
        change(&context, &self.name, |put| {
            if put.devices.contains_key(&self.device) {
                bail!("the instance has a device {:?} already", self.device);
            }
            put.devices.insert(self.device, keys);
            Ok(())
        })
        .await
    }
}

/// `sc config device set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The device's name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// The keys
    #[arg(value_name = "KEY=VALUE", required = true)]
    keys: Vec<String>,
}

impl Verb for Set {
    const NAME: &'static str = "set";
    const ABOUT: &'static str = "Set keys of an instance's own device";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let keys = keyvalue::settings(&self.keys)?;
        change(&context, &self.name, |put| match put.devices.get_mut(&self.device) {
            Some(device) => {
                device.extend(keys);
                Ok(())
            }
            None => bail!(
                "the instance has no device {:?} of its own; `override` changes a profile's",
                self.device
            ),
        })
        .await
    }
}

/// `sc config device override`.
#[derive(Debug, Args)]
pub struct Override {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The device's name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// The keys that are changed
    #[arg(value_name = "KEY=VALUE")]
    keys: Vec<String>,
}

impl Verb for Override {
    const NAME: &'static str = "override";
    const ABOUT: &'static str = "Copy a profile's device to an instance and set keys of it";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let keys = keyvalue::settings(&self.keys)?;
        let name = context.remotes.object(&self.name)?;
        let expanded = context.client.instance(&name).await?.value.expanded_devices;
        change(&context, &self.name, |put| {
            if put.devices.contains_key(&self.device) {
                bail!("the device {:?} is the instance's own; `set` changes it", self.device);
            }
            let Some(inherited) = expanded.get(&self.device) else {
                bail!("no profile of the instance has a device {:?}", self.device);
            };
            let mut device = inherited.clone();
            device.extend(keys);
            put.devices.insert(self.device, device);
            Ok(())
        })
        .await
    }
}

/// `sc config device remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The devices' names
    #[arg(value_name = "DEVICE", required = true)]
    devices: Vec<String>,
}

impl Verb for Remove {
    const NAME: &'static str = "remove";
    const ABOUT: &'static str = "Remove devices from an instance";
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        change(&context, &self.name, |put| {
            for device in &self.devices {
                if put.devices.remove(device).is_none() {
                    bail!("the instance has no device {device:?} of its own");
                }
            }
            Ok(())
        })
        .await
    }
}
