//! `sc config device`: an instance's own devices.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use sc_api::Instance;

use super::objects::change::change;
use super::objects::device::{Add, Get, List, OneDevice, Remove, Show, WithDevices, device_type};
use super::objects::named::name_at;
use super::objects::set::{Set, Unset};
use crate::complete::{self, instance_names};
use crate::context::Context;
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{keyvalue, output};

/// The group.
pub struct Device;

impl Group for Device {
    const NAME: &'static str = "device";
    const ABOUT: &'static str = "Manage devices of instances";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<Instance>>(),
        Entry::verb::<Show<Instance>>(),
        Entry::verb::<Add<Instance>>(),
        Entry::verb::<Get<Instance>>(),
        Entry::verb::<Set<OneDevice<Instance>>>(),
        Entry::verb::<Unset<OneDevice<Instance>>>(),
        Entry::verb::<Override>(),
        Entry::verb::<Remove<Instance>>(),
    ];
}

impl WithDevices for Instance {
    const LIST: &'static str = "List an instance's own devices";
    const SHOW: &'static str = "Show an instance's own devices";
    const ADD: &'static str = "Add a device to an instance";
    const GET: &'static str = "Show the value of a key of an instance's own device";
    const SET: &'static str = "Set keys of an instance's own device";
    const UNSET: &'static str = "Remove a key of an instance's own device";
    const REMOVE: &'static str = "Remove devices from an instance";
    const OF_ITS_OWN: &'static str = " of its own";
    const ELSEWHERE: &'static str = "; `override` changes a profile's";
}

/// `sc config device override`.
#[derive(Debug, Args)]
pub struct Override {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    name: String,
    /// The device's name
    #[arg(value_name = "DEVICE", add = inherited_devices())]
    device: String,
    /// The keys that are changed
    #[arg(value_name = "KEY=VALUE", add = inherited_keys())]
    keys: Vec<String>,
}

/// Completes the devices that profiles bring.
fn inherited_devices() -> ArgValueCompleter {
    complete::completer(async |client| {
        let Instance { devices, expanded_devices, .. } = client.instance(&name_at(4)).await?.value;
        let inherited =
            expanded_devices.into_iter().filter(|(name, _)| !devices.contains_key(name));
        Ok(inherited.map(|(name, keys)| (name, device_type(&keys))).collect())
    })
}

/// Completes keys of the device that is named, which a profile brings.
fn inherited_keys() -> ArgValueCompleter {
    complete::completer(async |client| {
        let mut devices = client.instance(&name_at(4)).await?.value.expanded_devices;
        let device = complete::word(5).and_then(|name| devices.remove(&name)).unwrap_or_default();
        Ok(complete::device_keys(&device_type(&device), "="))
    })
}

impl Verb for Override {
    const NAME: &'static str = "override";
    const ABOUT: &'static str = "Copy a profile's device to an instance and set keys of it";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let keys = keyvalue::settings(&self.keys)?;
        let name = context.remotes.object(&self.name)?;
        let expanded = context.client.instance(&name).await?.value.expanded_devices;
        change::<Instance>(&context, &self.name, |form| {
            if form.devices.contains_key(&self.device) {
                bail!("the device {:?} is the instance's own; `set` changes it", self.device);
            }
            let Some(inherited) = expanded.get(&self.device) else {
                bail!("no profile of the instance has a device {:?}", self.device);
            };
            let mut device = inherited.clone();
            device.extend(keys.clone());
            form.devices.insert(self.device.clone(), device);
            Ok(())
        })
        .await?;
        output::done(&context, format!("Device {} overridden for {name}", self.device))?;
        DONE
    }
}
