//! What an instance has of its own, as it is shown, edited and put back.

use anyhow::Result;
use clap_complete::engine::ArgValueCompleter;
use sc_api::{ConfigMap, DeviceMap, Instance, InstancePut, null_default, texts};
use sc_client::{Client, Tagged};
use serde::{Deserialize, Serialize};

use super::change::Changeable;
use super::named::Named;
use crate::complete::instance_names;
use crate::context::Context;
use crate::progress;

/// What `show` prints and `edit` reads. A field that is misspelt is an error, as the others
/// would silently become empty.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceForm {
    #[serde(default, deserialize_with = "null_default")]
    architecture: String,
    #[serde(default, deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(default, deserialize_with = "null_default")]
    description: String,
    /// Its devices.
    #[serde(default, deserialize_with = "crate::yaml::devices")]
    pub devices: DeviceMap,
    #[serde(default, deserialize_with = "null_default")]
    ephemeral: bool,
    /// Its profiles, in their order.
    #[serde(default, deserialize_with = "null_default")]
    pub profiles: Vec<String>,
}

impl From<Instance> for InstanceForm {
    fn from(instance: Instance) -> Self {
        Self {
            architecture: instance.architecture,
            config: instance.config,
            description: instance.description,
            devices: instance.devices,
            ephemeral: instance.ephemeral,
            profiles: instance.profiles,
        }
    }
}

impl From<InstanceForm> for InstancePut {
    fn from(form: InstanceForm) -> Self {
        Self {
            architecture: form.architecture,
            description: form.description,
            config: form.config,
            devices: form.devices,
            profiles: Some(form.profiles),
            ephemeral: form.ephemeral,
            ..Self::default()
        }
    }
}

impl Named for Instance {
    const VALUE_NAME: &'static str = "NAME";
    const ONE: &'static str = "The instance";
    const SEVERAL: &'static str = "The instances";

    fn names() -> ArgValueCompleter {
        instance_names()
    }
}

impl Changeable for Instance {
    type Form = InstanceForm;
    const WORD: &'static str = "instance";
    const EDIT: &'static str = "Edit the configuration of an instance, or read it from input";

    async fn read(client: &Client, name: &str) -> sc_client::Result<Tagged<InstanceForm>> {
        let Tagged { value, etag } = client.instance(name).await?;
        Ok(Tagged { value: value.into(), etag })
    }

    async fn replace(
        context: &Context,
        name: &str,
        form: InstanceForm,
        etag: Option<&str>,
    ) -> Result<()> {
        let operation = context.client.replace_instance(name, &form.into(), etag).await?;
        progress::wait(context, &format!("Configuring {name}"), operation).await?;
        Ok(())
    }

    fn config(form: &mut InstanceForm) -> &mut ConfigMap {
        &mut form.config
    }

    fn devices(form: &mut InstanceForm) -> &mut DeviceMap {
        &mut form.devices
    }
}
