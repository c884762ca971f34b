//! `device list`, `device add`, `device set` and `device remove`.

use std::marker::PhantomData;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::change::{Changeable, change};
use crate::context::Context;
use crate::verb::{DONE, Verb};
use crate::{keys, keyvalue, output};

/// A kind of object with devices: what the verbs say of it.
pub trait WithDevices: Changeable {
    /// What `list` does.
    const LIST: &'static str;
    /// What `add` does.
    const ADD: &'static str;
    /// What `set` does.
    const SET: &'static str;
    /// What `remove` does.
    const REMOVE: &'static str;
    /// Where else `set` might find a device that the object lacks.
    const ELSEWHERE: &'static str;

    /// Says that the object lacks a device.
    fn lacks(device: &str) -> String;
}

/// `device list`.
#[derive(Args)]
pub struct List<T: WithDevices> {
    #[arg(value_name = T::VALUE_NAME, help = T::ONE, add = T::names())]
    name: String,
    #[arg(skip)]
    kind: PhantomData<T>,
}

impl<T: WithDevices> Verb for List<T> {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = T::LIST;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let mut form = T::read(&context.client, &name).await?.value;
        let names = T::devices(&mut form).keys().map(|name| format!("{name}\n"));
        output::print(names.collect::<String>())?;
        DONE
    }
}

/// `device add`.
#[derive(Args)]
pub struct Add<T: WithDevices> {
    #[arg(value_name = T::VALUE_NAME, help = T::ONE, add = T::names())]
    name: String,
    /// The device's name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Its type: disk, nic
    #[arg(value_name = "TYPE")]
    device_type: String,
    /// Its keys
    #[arg(value_name = "KEY=VALUE")]
    keys: Vec<String>,
    #[arg(skip)]
    kind: PhantomData<T>,
}

impl<T: WithDevices> Verb for Add<T> {
    const NAME: &'static str = "add";
    const ABOUT: &'static str = T::ADD;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let mut keys = keyvalue::settings(&self.keys)?;
        keys.insert("type".into(), self.device_type);
        change::<T>(&context, &self.name, |form| {
            let devices = T::devices(form);
            if devices.contains_key(&self.device) {
                bail!("the {} has a device {:?} already", T::WORD, self.device);
            }
            devices.insert(self.device, keys);
            Ok(())
        })
        .await
    }
}

/// `device set`.
#[derive(Args)]
pub struct Set<T: WithDevices> {
    #[arg(value_name = T::VALUE_NAME, help = T::ONE, add = T::names())]
    name: String,
    /// The device's name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// The keys
    #[arg(value_name = "KEY=VALUE", required = true)]
    keys: Vec<String>,
    #[arg(skip)]
    kind: PhantomData<T>,
}

impl<T: WithDevices> Verb for Set<T> {
    const NAME: &'static str = "set";
    const ABOUT: &'static str = T::SET;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.keys)?;
        change::<T>(&context, &self.name, |form| match T::devices(form).get_mut(&self.device) {
            Some(device) => {
                keys::merge(device, settings);
                Ok(())
            }
            None => bail!("{}{}", T::lacks(&self.device), T::ELSEWHERE),
        })
        .await
    }
}

/// `device remove`.
#[derive(Args)]
pub struct Remove<T: WithDevices> {
    #[arg(value_name = T::VALUE_NAME, help = T::ONE, add = T::names())]
    name: String,
    /// The devices' names
    #[arg(value_name = "DEVICE", required = true)]
    devices: Vec<String>,
    #[arg(skip)]
    kind: PhantomData<T>,
}

impl<T: WithDevices> Verb for Remove<T> {
    const NAME: &'static str = "remove";
    const ABOUT: &'static str = T::REMOVE;
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        change::<T>(&context, &self.name, |form| {
            for device in &self.devices {
                if T::devices(form).remove(device).is_none() {
                    bail!("{}", T::lacks(device));
                }
            }
            Ok(())
        })
        .await
    }
}
