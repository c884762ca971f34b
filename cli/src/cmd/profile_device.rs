//! `sc profile device`: the devices of profiles.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::profile::change;
use crate::complete::profile_names;
use crate::context::Context;
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{keyvalue, output};

/// The group.
pub struct Device;

impl Group for Device {
    const NAME: &'static str = "device";
    const ABOUT: &'static str = "Manage devices of profiles";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List>(),
        Entry::verb::<Add>(),
        Entry::verb::<Set>(),
        Entry::verb::<Remove>(),
    ];
}

/// `sc profile device list`.
#[derive(Debug, Args)]
pub struct List {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    name: String,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List a profile's devices";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let devices = context.client.profile(&name).await?.value.devices;
        output::print(devices.keys().map(|name| format!("{name}\n")).collect::<String>())?;
        DONE
    }
}

/// `sc profile device add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
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
    const ABOUT: &'static str = "Add a device to a profile";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let mut keys = keyvalue::settings(&self.keys)?;
        keys.insert("type".into(), self.kind);
        change(&context, &self.name, |put| {
            if put.devices.contains_key(&self.device) {
                bail!("the profile has a device {:?} already", self.device);
            }
            put.devices.insert(self.device, keys);
            Ok(())
        })
        .await
    }
}

/// `sc profile device set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
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
    const ABOUT: &'static str = "Set keys of a profile's device";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let keys = keyvalue::settings(&self.keys)?;
        change(&context, &self.name, |put| match put.devices.get_mut(&self.device) {
            Some(device) => {
                device.extend(keys);
                Ok(())
            }
            None => bail!("the profile has no device {:?}", self.device),
        })
        .await
    }
}

/// `sc profile device remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    name: String,
    /// The devices' names
    #[arg(value_name = "DEVICE", required = true)]
    devices: Vec<String>,
}

impl Verb for Remove {
    const NAME: &'static str = "remove";
    const ABOUT: &'static str = "Remove devices from a profile";
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        change(&context, &self.name, |put| {
            for device in &self.devices {
                if put.devices.remove(device).is_none() {
                    bail!("the profile has no device {device:?}");
                }
            }
            Ok(())
        })
        .await
    }
}
