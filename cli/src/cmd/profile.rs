//! `sc profile`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sc_api::{ConfigMap, DeviceMap, ProfilePut, ProfilesPost};
use sc_client::Tagged;
use serde::{Deserialize, Serialize};

use super::config::change as change_instance;
use super::profile_device::Device;
use crate::columns::{self, Column};
use crate::complete::{instance_names, profile_names};
use crate::context::Context;
use crate::editor::{self, Edited};
use crate::keyvalue;
use crate::output::{self, Format};
use crate::several::for_each;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Profile;

impl Group for Profile {
    const NAME: &'static str = "profile";
    const ABOUT: &'static str = "Manage profiles";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List>(),
        Entry::verb::<Show>(),
        Entry::verb::<Create>(),
        Entry::verb::<Get>(),
        Entry::verb::<Set>(),
        Entry::verb::<Unset>(),
        Entry::verb::<Edit>(),
        Entry::verb::<Delete>(),
        Entry::verb::<Add>(),
        Entry::verb::<Remove>(),
        Entry::group::<Device>(),
    ];
}

const COLUMNS: &[Column<sc_api::Profile>] = &[
    Column { letter: 'n', title: "NAME", about: "Name", value: |p| p.name.clone() },
    Column { letter: 'd', title: "DESCRIPTION", about: "", value: |p| p.description.clone() },
    Column { letter: 'u', title: "USED BY", about: "", value: |p| p.used_by.len().to_string() },
];

/// `sc profile list`.
#[derive(Debug, Args)]
pub struct List {
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List profiles";
    const ALIASES: &'static [&'static str] = &["ls"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let mut profiles = context.client.profiles().await?;
        profiles.sort_by(|a, b| a.name.cmp(&b.name));
        let shown: Vec<_> = COLUMNS.iter().collect();
        output::list(self.format, &profiles, &columns::titles(&shown), || {
            columns::rows(&shown, &profiles)
        })?;
        DONE
    }
}

/// `sc profile show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    name: String,
}

impl Verb for Show {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = "Show a profile";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        output::yaml(&context.client.profile(&name).await?.value)?;
        DONE
    }
}

/// `sc profile create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The profile
    #[arg(value_name = "PROFILE")]
    name: String,
    /// Its keys
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

impl Verb for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a profile";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let put = ProfilePut {
            description: self.description,
            config: keyvalue::settings(&self.settings)?,
            devices: DeviceMap::new(),
        };
        let name = context.remotes.object(&self.name)?.parse()?;
        context.client.create_profile(&ProfilesPost { name, put }).await?;
        DONE
    }
}

/// `sc profile get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    name: String,
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
}

impl Verb for Get {
    const NAME: &'static str = "get";
    const ABOUT: &'static str = "Show the value of a key";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let profile = context.client.profile(&name).await?.value;
        output::line(profile.config.get(&self.key).map_or("", String::as_str))?;
        DONE
    }
}

/// `sc profile set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
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

/// `sc profile unset`.
#[derive(Debug, Args)]
pub struct Unset {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
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

/// `sc profile edit`.
#[derive(Debug, Args)]
pub struct Edit {
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    name: String,
}

/// What `show` prints and `edit` reads: the profile's own, and what only tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Editable {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    config: ConfigMap,
    #[serde(default)]
    devices: DeviceMap,
    #[allow(dead_code, reason = "it may stand in the text, but only tells")]
    #[serde(default, skip_serializing)]
    used_by: Vec<String>,
}

impl Verb for Edit {
    const NAME: &'static str = "edit";
    const ABOUT: &'static str = "Edit a profile, or read it from input";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let Tagged { value, etag } = context.client.profile(&name).await?;
        let before = Editable {
            name: value.name,
            description: value.description,
            config: value.config,
            devices: value.devices,
            used_by: Vec::new(),
        };
        let Edited::Changed(new) = editor::edit(&format!("profile {name}"), &before)? else {
            return DONE;
        };
        if !new.name.is_empty() && new.name != name {
            bail!("the YAML is of profile {:?}, not of {name:?}", new.name);
        }
        let put =
            ProfilePut { description: new.description, config: new.config, devices: new.devices };
        context.client.replace_profile(&name, &put, etag.as_deref()).await?;
        DONE
    }
}

/// `sc profile delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The profiles
    #[arg(value_name = "PROFILE", required = true, add = profile_names())]
    names: Vec<String>,
}

impl Verb for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Delete profiles";
    const ALIASES: &'static [&'static str] = &["rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let names = context.remotes.objects(&self.names)?;
        for_each(&names, async |name| Ok(context.client.delete_profile(name).await?)).await
    }
}

/// `sc profile add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    instance: String,
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    profile: String,
}

impl Verb for Add {
    const NAME: &'static str = "add";
    const ABOUT: &'static str = "Add a profile to an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        change_instance(&context, &self.instance, |put| {
            let profiles = put.profiles.get_or_insert_default();
            if profiles.contains(&self.profile) {
                bail!("the instance has the profile {:?} already", self.profile);
            }
            profiles.push(self.profile);
            Ok(())
        })
        .await
    }
}

/// `sc profile remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The instance
    #[arg(value_name = "NAME", add = instance_names())]
    instance: String,
    /// The profile
    #[arg(value_name = "PROFILE", add = profile_names())]
    profile: String,
}

impl Verb for Remove {
    const NAME: &'static str = "remove";
    const ABOUT: &'static str = "Remove a profile from an instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        change_instance(&context, &self.instance, |put| {
            let profiles = put.profiles.get_or_insert_default();
            let place = profiles.iter().position(|name| *name == self.profile);
            let place =
                place.with_context(|| format!("the instance has no profile {:?}", self.profile))?;
            profiles.remove(place);
            Ok(())
        })
        .await
    }
}

/// Changes what a profile has, unless it changes meanwhile.
pub async fn change(
    context: &Context,
    name: &str,
    change: impl FnOnce(&mut ProfilePut) -> Result<()>,
) -> Result<ExitCode> {
    let name = context.remotes.object(name)?;
    let Tagged { value, etag } = context.client.profile(&name).await?;
    let mut put =
        ProfilePut { description: value.description, config: value.config, devices: value.devices };
    change(&mut put)?;
    context.client.replace_profile(&name, &put, etag.as_deref()).await?;
    DONE
}
