//! `sc launch` and `sc init`: new instances.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Command};
use sc_api::{ConfigMap, DeviceMap, InstancePut, InstancesPost, null_default, texts};
use serde::Deserialize;

use crate::complete::{image_names, network_names, pool_names, profile_names, settings};
use crate::context::Context;
use crate::devices::{self, DeviceArg};
use crate::verb::{DONE, Verb};
use crate::{given, keyvalue, output, progress};

/// What both verbs take.
#[derive(Debug, Args)]
struct New {
    /// The image: a local alias or fingerprint, or a remote's, such as debian:12
    #[arg(value_name = "IMAGE", add = image_names())]
    image: String,
    /// The instance's name; one is made up where there is none
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Set a configuration key; may be given again
    #[arg(
        short,
        long,
        value_name = "KEY=VALUE",
        value_parser = keyvalue::parse,
        add = settings()
    )]
    config: Vec<(String, String)>,
    /// Add a device, or change one that comes from a profile; may be given again
    #[arg(short, long, value_name = "DEVICE,KEY=VALUE", value_parser = devices::parse)]
    device: Vec<DeviceArg>,
    /// Use this profile instead of the default one; may be given again
    #[arg(short, long, value_name = "PROFILE", add = profile_names())]
    profile: Vec<String>,
    /// Use no profile
    #[arg(long, conflicts_with = "profile")]
    no_profiles: bool,
    /// Put the root filesystem on this storage pool
    #[arg(short, long, value_name = "POOL", add = pool_names())]
    storage: Option<String>,
    /// Connect eth0 to this network
    #[arg(short, long, value_name = "NETWORK", add = network_names())]
    network: Option<String>,
    /// Delete the instance when it stops
    #[arg(short, long)]
    ephemeral: bool,
}

/// What standard input gives. A field that is misspelt is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    #[serde(deserialize_with = "null_default")]
    architecture: String,
    #[serde(deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(deserialize_with = "null_default")]
    description: String,
    #[serde(deserialize_with = "crate::yaml::devices")]
    devices: DeviceMap,
    #[serde(deserialize_with = "null_default")]
    ephemeral: bool,
    profiles: Option<Vec<String>>,
}

/// `sc launch`.
#[derive(Debug, Args)]
pub struct Launch {
    #[command(flatten)]
    new: New,
}

/// `sc init`.
#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    new: New,
}

impl Verb for Launch {
    const NAME: &'static str = "launch";
    const ABOUT: &'static str = "Create and start an instance from an image";

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(given::HELP)
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        self.new.create(&context, true).await
    }
}

impl Verb for Init {
    const NAME: &'static str = "init";
    const ABOUT: &'static str = "Create an instance from an image";
    const ALIASES: &'static [&'static str] = &["create"];

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(given::HELP)
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        self.new.create(&context, false).await
    }
}

impl New {
    async fn create(self, context: &Context, start: bool) -> Result<ExitCode> {
        self.refuse_records()?;
        let mut given: Given = given::read("an instance", context.quiet)?;
        let dropped = sc_profiles::drop_records(&mut given.config);
        if !dropped.is_empty() && !context.quiet {
            eprintln!("Not taken over from the instance in the YAML: {}", dropped.join(", "));
        }
        let name = match &self.name {
            Some(name) => context.remotes.object(name)?,
            None => String::new(),
        };
        let post = InstancesPost {
            name: name.clone(),
            instance_type: sc_api::InstanceType::Container,
            source: context.remotes.image(&self.image)?.instance_source(),
            flavour: String::new(),
            start,
            put: self.put(context, given).await?,
        };
        let title = match name.as_str() {
            "" => "Creating an instance".to_owned(),
            name => format!("Creating {name}"),
        };
        let operation = context.client.create_instance(&post).await?;
        let operation = progress::wait(context, &title, operation).await?;
        let created = operation.resource_name("instances").unwrap_or(&name);
        let done = if start { "Launched " } else { "Created " };
        output::line(format!("{}{created}", if context.quiet { "" } else { done }))?;
        DONE
    }

    /// The server passes the records of another instance over; what was asked for by name is not.
    fn refuse_records(&self) -> Result<()> {
        for (key, value) in &self.config {
            let mut config = ConfigMap::from([(key.clone(), value.clone())]);
            if !sc_profiles::drop_records(&mut config).is_empty() {
                bail!("{key} is the daemon's own record: it cannot be set");
            }
        }
        Ok(())
    }

    /// The configuration: what standard input gives, below what the arguments say.
    async fn put(&self, context: &Context, given: Given) -> Result<InstancePut> {
        let profiles = match (self.no_profiles, self.profile.as_slice()) {
            (true, _) => Some(Vec::new()),
            (false, []) => given.profiles,
            (false, names) => Some(names.to_vec()),
        };
        let mut config = given.config;
        config.extend(self.config.iter().cloned());
        Ok(InstancePut {
            architecture: given.architecture,
            description: given.description,
            config,
            devices: self.devices(context, given.devices, profiles.as_deref()).await?,
            profiles,
            ephemeral: self.ephemeral || given.ephemeral,
            ..InstancePut::default()
        })
    }

    async fn devices(
        &self,
        context: &Context,
        mut devices: DeviceMap,
        profiles: Option<&[String]>,
    ) -> Result<DeviceMap> {
        for (name, chosen) in self.chosen() {
            if let Some(device) = devices.get_mut(&name) {
                device.extend(chosen);
            }
        }
        // Profiles are asked for only where a device of theirs is changed.
        if self.device.iter().any(|device| !device.keys.contains_key("type")) {
            let default = ["default".to_owned()];
            let mut inherited = self.chosen();
            for name in profiles.unwrap_or(&default) {
                inherited.extend(context.client.profile(name).await?.value.devices);
            }
            inherited.extend(
                self.chosen()
                    .into_iter()
                    .map(|(name, chosen)| {
                        let mut device = inherited.get(&name).cloned().unwrap_or_default();
                        device.extend(chosen);
                        (name, device)
                    })
                    .collect::<DeviceMap>(),
            );
            devices::apply(&mut devices, &self.device, &inherited)?;
        } else {
            devices::apply(&mut devices, &self.device, &DeviceMap::new())?;
        }
        for (name, chosen) in self.chosen() {
            devices.entry(name).or_insert(chosen);
        }
        Ok(devices)
    }

    /// The devices that `--storage` and `--network` stand for.
    fn chosen(&self) -> DeviceMap {
        let device = |keys: &[(&str, &str)]| -> ConfigMap {
            keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let mut chosen = DeviceMap::new();
        if let Some(pool) = &self.storage {
            chosen
                .insert("root".into(), device(&[("type", "disk"), ("path", "/"), ("pool", pool)]));
        }
        if let Some(network) = &self.network {
            let nic = device(&[("type", "nic"), ("name", "eth0"), ("network", network)]);
            chosen.insert("eth0".into(), nic);
        }
        chosen
    }
}
