//! `device list`, `show`, `add`, `get` and `remove`, and the devices of `set` and `unset`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use sc_api::ConfigMap;

use super::change::{Changeable, change};
use super::named::{One, named};
use super::set::Keyed;
use crate::complete;
use crate::context::Context;
use crate::verb::{DONE, Verb};
use crate::{keys, keyvalue, output};

/// A kind of object with devices: what the verbs say of it.
pub trait WithDevices: Changeable {
    /// What `list` does.
    const LIST: &'static str;
    /// What `show` does.
    const SHOW: &'static str;
    /// What `add` does.
    const ADD: &'static str;
    /// What `get` does.
    const GET: &'static str;
    /// What `set` does.
    const SET: &'static str;
    /// What `unset` does.
    const UNSET: &'static str;
    /// What `remove` does.
    const REMOVE: &'static str;
    /// What is said behind a device that the object lacks.
    const OF_ITS_OWN: &'static str;
    /// Where else such a device might be found.
    const ELSEWHERE: &'static str;
}

/// Says that an object lacks a device.
fn lacks<T: WithDevices>(name: &str, device: &str) -> String {
    format!("the {} {name:?} has no device {device:?}{}", T::WORD, T::OF_ITS_OWN)
}

/// The arguments that name one device.
#[derive(Args)]
pub struct OneDevice<T: WithDevices> {
    #[command(flatten)]
    one: One<T>,
    /// The device's name
    #[arg(value_name = "DEVICE", add = device_names::<T>())]
    device: String,
}

/// Completes names of the object's devices.
fn device_names<T: WithDevices>() -> ArgValueCompleter {
    complete::completer(async |client| {
        let mut form = named::<T>(client, 4).await?;
        let devices = T::devices(&mut form).iter();
        Ok(devices.map(|(name, keys)| (name.clone(), device_type(keys))).collect())
    })
}

/// Completes keys of the device that is named, each with `end` behind it.
fn keys_of_named<T: WithDevices>(end: &'static str) -> ArgValueCompleter {
    complete::completer(async move |client| {
        let mut form = named::<T>(client, 4).await?;
        let device = complete::word(5).and_then(|name| T::devices(&mut form).remove(&name));
        Ok(complete::device_keys(&device_type(&device.unwrap_or_default()), end))
    })
}

/// What a device says it is.
pub fn device_type(keys: &ConfigMap) -> String {
    keys.get("type").cloned().unwrap_or_default()
}

impl<T: WithDevices> OneDevice<T> {
    /// Its keys, to read or change.
    fn keys<'f>(&self, form: &'f mut T::Form) -> Result<&'f mut ConfigMap> {
        match T::devices(form).get_mut(&self.device) {
            Some(keys) => Ok(keys),
            None => bail!("{}{}", lacks::<T>(&self.one.name, &self.device), T::ELSEWHERE),
        }
    }
}

impl<T: WithDevices + 'static> Keyed for OneDevice<T> {
    type Object = T;
    const SET: &'static str = <T as WithDevices>::SET;
    const UNSET: &'static str = <T as WithDevices>::UNSET;

    fn name(&self) -> &str {
        &self.one.name
    }

    fn set(&self, form: &mut T::Form, to: ConfigMap) -> Result<()> {
        keys::merge(self.keys(form)?, to);
        Ok(())
    }

    fn unset(&self, form: &mut T::Form, key: &str) -> Result<()> {
        let device = self.keys(form)?;
        match device.remove(key) {
            Some(_) => Ok(()),
            None => {
                keys::known_of_device(device, key)?;
                bail!("the key {key:?} of the device {:?} is not set", self.device)
            }
        }
    }

    fn key_names() -> ArgValueCompleter {
        complete::completer(async |client| {
            let mut form = named::<T>(client, 4).await?;
            let device = complete::word(5).and_then(|name| T::devices(&mut form).remove(&name));
            Ok(device.unwrap_or_default().into_iter().collect())
        })
    }

    fn settings() -> ArgValueCompleter {
        keys_of_named::<T>("=")
    }
}

/// `device list`.
#[derive(Args)]
pub struct List<T: WithDevices> {
    #[command(flatten)]
    one: One<T>,
}

impl<T: WithDevices> Verb for List<T> {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = T::LIST;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.one.name)?;
        let mut form = T::read(&context.client, &name).await?.value;
        let names = T::devices(&mut form).keys().map(|name| format!("{name}\n"));
        output::print(names.collect::<String>())?;
        DONE
    }
}

/// `device show`.
#[derive(Args)]
pub struct Show<T: WithDevices> {
    #[command(flatten)]
    one: One<T>,
}

impl<T: WithDevices> Verb for Show<T> {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = T::SHOW;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.one.name)?;
        let mut form = T::read(&context.client, &name).await?.value;
        output::yaml(T::devices(&mut form))?;
        DONE
    }
}

/// `device get`.
#[derive(Args)]
pub struct Get<T: WithDevices> {
    #[command(flatten)]
    of: OneDevice<T>,
    /// The key
    #[arg(value_name = "KEY", add = keys_of_named::<T>(""))]
    key: String,
}

impl<T: WithDevices> Verb for Get<T> {
    const NAME: &'static str = "get";
    const ABOUT: &'static str = T::GET;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.of.one.name)?;
        let mut form = T::read(&context.client, &name).await?.value;
        keys::print_of_device(self.of.keys(&mut form)?, &self.key)?;
        DONE
    }
}

/// `device add`.
#[derive(Args)]
pub struct Add<T: WithDevices> {
    #[command(flatten)]
    one: One<T>,
    /// The device's name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Its type: disk, nic, none
    #[arg(value_name = "TYPE", add = complete::device_types())]
    device_type: String,
    /// Its keys
    #[arg(value_name = "KEY=VALUE", add = complete::device_settings_of(6))]
    keys: Vec<String>,
}

impl<T: WithDevices> Verb for Add<T> {
    const NAME: &'static str = "add";
    const ABOUT: &'static str = T::ADD;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let mut keys = keyvalue::settings(&self.keys)?;
        keys.insert("type".into(), self.device_type);
        change::<T>(&context, &self.one.name, |form| {
            let devices = T::devices(form);
            if devices.contains_key(&self.device) {
                let (word, name, device) = (T::WORD, &self.one.name, &self.device);
                bail!(
                    "the {word} {name:?} has a device {device:?} already: `device set` changes it"
                );
            }
            devices.insert(self.device.clone(), keys.clone());
            Ok(())
        })
        .await?;
        output::done(&context, format!("Device {} added to {}", self.device, self.one.name))?;
        DONE
    }
}

/// `device remove`.
#[derive(Args)]
pub struct Remove<T: WithDevices> {
    #[command(flatten)]
    one: One<T>,
    /// The devices' names
    #[arg(value_name = "DEVICE", required = true, add = device_names::<T>())]
    devices: Vec<String>,
}

impl<T: WithDevices> Verb for Remove<T> {
    const NAME: &'static str = "remove";
    const ABOUT: &'static str = T::REMOVE;
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        change::<T>(&context, &self.one.name, |form| {
            for device in &self.devices {
                if T::devices(form).remove(device).is_none() {
                    bail!("{}", lacks::<T>(&self.one.name, device));
                }
            }
            Ok(())
        })
        .await?;
        for device in &self.devices {
            output::done(&context, format!("Device {device} removed from {}", self.one.name))?;
        }
        DONE
    }
}
