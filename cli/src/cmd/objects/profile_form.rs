//! What a profile has, as it is edited and put back.

use anyhow::{Result, bail};
use clap_complete::engine::ArgValueCompleter;
use sc_api::{ConfigMap, DeviceMap, Profile, ProfilePut, null_default, texts};
use sc_client::{Client, Tagged};
use serde::{Deserialize, Serialize};

use super::change::Changeable;
use super::named::Named;
use crate::complete::profile_names;
use crate::context::Context;

/// What `edit` reads, which may be what `show` prints: the profile's own, and what only tells.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileForm {
    #[serde(default, deserialize_with = "null_default")]
    name: String,
    #[serde(default, deserialize_with = "null_default")]
    description: String,
    #[serde(default, deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(default, deserialize_with = "crate::yaml::devices")]
    devices: DeviceMap,
    #[allow(dead_code, reason = "it may stand in the text, but only tells")]
    #[serde(default, skip_serializing, deserialize_with = "null_default")]
    used_by: Vec<String>,
}

impl From<Profile> for ProfileForm {
    fn from(profile: Profile) -> Self {
        Self {
            name: profile.name,
            description: profile.description,
            config: profile.config,
            devices: profile.devices,
            used_by: Vec::new(),
        }
    }
}

impl From<ProfileForm> for ProfilePut {
    fn from(form: ProfileForm) -> Self {
        let ProfileForm { description, config, devices, .. } = form;
        Self { description, config, devices }
    }
}

impl Named for Profile {
    const VALUE_NAME: &'static str = "PROFILE";
    const ONE: &'static str = "The profile";
    const SEVERAL: &'static str = "The profiles";

    fn names() -> ArgValueCompleter {
        profile_names()
    }
}

impl Changeable for Profile {
    type Form = ProfileForm;
    const WORD: &'static str = "profile";
    const EDIT: &'static str = "Edit a profile, or read it from input";

    async fn read(client: &Client, name: &str) -> sc_client::Result<Tagged<ProfileForm>> {
        let Tagged { value, etag } = client.profile(name).await?;
        Ok(Tagged { value: value.into(), etag })
    }

    async fn replace(
        context: &Context,
        name: &str,
        form: ProfileForm,
        etag: Option<&str>,
    ) -> Result<()> {
        if !form.name.is_empty() && form.name != name {
            bail!("the YAML is of profile {:?}, not of {name:?}", form.name);
        }
        Ok(context.client.replace_profile(name, &form.into(), etag).await?)
    }

    fn config(form: &mut ProfileForm) -> &mut ConfigMap {
        &mut form.config
    }

    fn devices(form: &mut ProfileForm) -> &mut DeviceMap {
        &mut form.devices
    }
}
