//! `sc profile`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Command};
use sc_api::{Instance, Profile as ApiProfile, ProfilePut, ProfilesPost};
use sc_client::{Client, Tagged};

use super::objects::change::{Edit, change};
use super::objects::delete::{Delete, Deleted, NoFlags};
use super::objects::list::{List, Listed};
use super::objects::named::One;
use super::objects::profile_form::ProfileForm;
use super::objects::set::{Set, Unset};
use super::objects::show::{Show, Shown};
use super::profile_device::Device;
use crate::columns::Column;
use crate::complete::{instance_names, key_names, profile_names, settings};
use crate::context::Context;
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{given, keys, keyvalue, output};

/// The group.
pub struct Profile;

impl Group for Profile {
    const NAME: &'static str = "profile";
    const ABOUT: &'static str = "Manage profiles";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<ApiProfile>>(),
        Entry::verb::<Show<ApiProfile>>(),
        Entry::verb::<Create>(),
        Entry::verb::<Get>(),
        Entry::verb::<Set<One<ApiProfile>>>(),
        Entry::verb::<Unset<One<ApiProfile>>>(),
        Entry::verb::<Edit<ApiProfile>>(),
        Entry::verb::<Delete<ApiProfile>>(),
        Entry::verb::<Add>(),
        Entry::verb::<Remove>(),
        Entry::group::<Device>(),
    ];
}

impl Listed for ApiProfile {
    const ABOUT: &'static str = "List profiles";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'n', title: "NAME", about: "Name", value: |p| p.name.clone() },
        Column { letter: 'd', title: "DESCRIPTION", about: "", value: |p| p.description.clone() },
        Column { letter: 'u', title: "USED BY", about: "", value: |p| p.used_by.len().to_string() },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        let mut profiles = context.client.profiles().await?;
        profiles.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(profiles)
    }
}

impl Shown for ApiProfile {
    const ABOUT: &'static str = "Show a profile";

    async fn get(client: &Client, name: &str) -> sc_client::Result<Tagged<Self>> {
        client.profile(name).await
    }
}

impl Deleted for ApiProfile {
    const ABOUT: &'static str = "Delete profiles";
    const TITLE: &'static str = "Profile";

    type Flags = NoFlags;

    async fn delete(context: &Context, name: &str, _: &NoFlags) -> sc_client::Result<()> {
        context.client.delete_profile(name).await
    }
}

/// `sc profile create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The profile
    #[arg(value_name = "PROFILE")]
    name: String,
    /// Its keys
    #[arg(value_name = "KEY=VALUE", add = settings())]
    settings: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Verb for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a profile";

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(given::HELP)
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.settings)?;
        let mut put: ProfilePut = given::read::<ProfileForm>("a profile", context.quiet)?.into();
        put.config.extend(settings);
        put.description = self.description.unwrap_or(put.description);
        let name = context.remotes.object(&self.name)?.parse()?;
        let post = ProfilesPost { name, put };
        context.client.create_profile(&post).await?;
        output::done(&context, format!("Profile {} created", post.name))?;
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
    #[arg(value_name = "KEY", add = key_names())]
    key: String,
}

impl Verb for Get {
    const NAME: &'static str = "get";
    const ABOUT: &'static str = "Show the value of a key";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let profile = context.client.profile(&name).await?.value;
        keys::print(&profile.config, &self.key)?;
        DONE
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
        change::<Instance>(&context, &self.instance, |form| {
            let profiles = &mut form.profiles;
            if profiles.contains(&self.profile) {
                bail!("instance {:?} has the profile {:?} already", self.instance, self.profile);
            }
            profiles.push(self.profile.clone());
            Ok(())
        })
        .await?;
        output::done(&context, format!("Profile {} added to {}", self.profile, self.instance))?;
        DONE
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
        change::<Instance>(&context, &self.instance, |form| {
            let profiles = &mut form.profiles;
            let place = profiles.iter().position(|name| *name == self.profile);
            let Some(place) = place else {
                let has = if profiles.is_empty() { "none" } else { &profiles.join(", ") };
                bail!(
                    "instance {:?} has no profile {:?}; it has {has}",
                    self.instance,
                    self.profile
                );
            };
            profiles.remove(place);
            Ok(())
        })
        .await?;
        output::done(&context, format!("Profile {} removed from {}", self.profile, self.instance))?;
        DONE
    }
}
