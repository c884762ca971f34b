//! `sc admin init --preseed`: the daemon's configuration from a text, in the form of LXD's.
//!
//! What is there already as the text wants it is left alone, so that the same text can be given again.
//! Where a step fails, what the ones before it have done is taken back.

use std::path::Path;

use anyhow::{Result, bail};
use sc_api::{
    ConfigMap, ErrorKind, Network, NetworksPost, Profile, ProfilePut, ProfilesPost, ServerPut,
    StoragePool, StoragePoolsPost,
};
use sc_client::{Client, Tagged};

use super::preseed_form::{Preseed, WantedNetwork, WantedPool, WantedProfile};
use crate::context::Context;
use crate::{keys, output};

/// Something done, with what it takes to take it back.
enum Done {
    Pool(String),
    Network(String),
    Profile(String),
    ChangedProfile(String, ProfilePut),
}

/// Brings the daemon to what the text wants.
pub async fn apply(context: &Context, text: &str) -> Result<()> {
    let preseed = Preseed::parse(text)?;
    let mut done = Vec::new();
    let Err(error) = carry_out(context, preseed, &mut done).await else { return Ok(()) };
    for step in done.into_iter().rev() {
        if let Err(also) = step.take_back(&context.client).await {
            let also = output::chain(&also.into());
            return Err(error.context(format!("after a failure something is left: {also}")));
        }
    }
    Err(error)
}

async fn carry_out(context: &Context, preseed: Preseed, done: &mut Vec<Done>) -> Result<()> {
    let client = &context.client;
    if !preseed.config.is_empty() {
        client.replace_server(&ServerPut { config: preseed.config }, None).await?;
    }
    for pool in preseed.storage_pools {
        let name = pool.name.to_string();
        let applied = ensure_pool(client, pool, done).await;
        applied.map_err(|error| about("storage pool", &name, error))?;
    }
    for network in preseed.networks {
        let name = network.name.to_string();
        let applied = ensure_network(client, network, done).await;
        applied.map_err(|error| about("network", &name, error))?;
    }
    for profile in preseed.profiles {
        let name = profile.name.to_string();
        let applied = ensure_profile(client, profile, done).await;
        applied.map_err(|error| about("profile", &name, error))?;
    }
    done.iter().try_for_each(|step| output::line(step.told()))
}

/// A failure with the object that it is about, unless it names that itself.
fn about(kind: &str, name: &str, error: anyhow::Error) -> anyhow::Error {
    let text = output::chain(&error);
    // The first letter may be a large one.
    let rest = &kind[1..];
    let names = [format!("{rest} {name}:"), format!("{rest} {name} "), format!("{rest} {name:?}")];
    match names.iter().any(|named| text.contains(named)) {
        true => error,
        false => error.context(format!("{kind} {name}")),
    }
}

async fn ensure_pool(client: &Client, pool: WantedPool, done: &mut Vec<Done>) -> Result<()> {
    let WantedPool { name, driver, description, config } = pool;
    if let Some(there) = there(client.pool(name.as_str()).await)? {
        let StoragePool { driver: has_driver, description: described, config: has, .. } =
            there.value;
        fits("driver", &driver, &has_driver)?;
        return describes(&description, &described).and_then(|()| configured(&config, &has));
    }
    let post = StoragePoolsPost { name, driver, description, config };
    client.create_pool(&post).await?;
    done.push(Done::Pool(post.name.to_string()));
    Ok(())
}

async fn ensure_network(
    client: &Client,
    network: WantedNetwork,
    done: &mut Vec<Done>,
) -> Result<()> {
    let WantedNetwork { name, kind, description, config, .. } = network;
    let kind = if kind.is_empty() { "bridge".to_owned() } else { kind };
    if let Some(there) = there(client.network(name.as_str()).await)? {
        let Network { network_type, description: described, config: has, .. } = there.value;
        fits("type", &kind, &network_type)?;
        return describes(&description, &described).and_then(|()| configured(&config, &has));
    }
    let post = NetworksPost { name, network_type: kind, description, config };
    client.create_network(&post).await?;
    done.push(Done::Network(post.name.to_string()));
    Ok(())
}

/// A profile that is there keeps what the text says nothing of.
async fn ensure_profile(
    client: &Client,
    profile: WantedProfile,
    done: &mut Vec<Done>,
) -> Result<()> {
    let name = profile.name.to_string();
    let (config, devices) = (profile.config, profile.devices);
    let Some(Tagged { value, etag }) = there(client.profile(&name).await)? else {
        let description = profile.description.unwrap_or_default();
        let put = ProfilePut { description, config, devices };
        client.create_profile(&ProfilesPost { name: profile.name, put }).await?;
        done.push(Done::Profile(name));
        return Ok(());
    };
    let Profile { description, config: has, devices: with, .. } = value;
    let before = ProfilePut { description, config: has, devices: with };
    let mut after = before.clone();
    keys::set(&mut after.config, config)?;
    after.devices.extend(devices);
    after.description = profile.description.unwrap_or(after.description);
    if after != before {
        client.replace_profile(&name, &after, etag.as_deref()).await?;
        done.push(Done::ChangedProfile(name, before));
    }
    Ok(())
}

fn there<T>(got: sc_client::Result<T>) -> Result<Option<T>> {
    match got {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses what is there otherwise than it is wanted. It is not changed: guests may depend on it.
fn fits(word: &str, wanted: &str, has: &str) -> Result<()> {
    match wanted == has {
        true => Ok(()),
        false => bail!("it is there with {word} {has:?}, not {wanted:?}: {REMEDY}"),
    }
}

const REMEDY: &str = "delete it, or name another";

/// As [`fits`], of the description; an empty one asks for nothing.
fn describes(wanted: &str, has: &str) -> Result<()> {
    if wanted.is_empty() { Ok(()) } else { fits("description", wanted, has) }
}

/// As [`fits`], of all keys that are wanted.
fn configured(wanted: &ConfigMap, has: &ConfigMap) -> Result<()> {
    for (key, value) in wanted {
        match has.get(key) {
            Some(has) if came_of(key, value, has) => {}
            Some(has) => bail!("it is there with {key}={has}, not {value}: {REMEDY}"),
            None => bail!("it is there without {key}={value}: {REMEDY}"),
        }
    }
    Ok(())
}

/// Whether the daemon makes `has` of what was wanted.
fn came_of(key: &str, wanted: &str, has: &str) -> bool {
    match (key, wanted) {
        ("ipv4.address" | "ipv6.address", "auto") => has != "none",
        ("source", _) => {
            let true_name = Path::new(wanted).canonicalize();
            true_name.unwrap_or_else(|_| wanted.into()) == Path::new(has)
        }
        _ => wanted == has,
    }
}

impl Done {
    fn told(&self) -> String {
        match self {
            Self::Pool(name) => format!("Storage pool {name} created"),
            Self::Network(name) => format!("Network {name} created"),
            Self::Profile(name) => format!("Profile {name} created"),
            Self::ChangedProfile(name, _) => format!("Profile {name} updated"),
        }
    }

    async fn take_back(self, client: &Client) -> sc_client::Result<()> {
        match self {
            Self::Pool(name) => client.delete_pool(&name, false).await,
            Self::Network(name) => client.delete_network(&name).await,
            Self::Profile(name) => client.delete_profile(&name).await,
            Self::ChangedProfile(name, before) => {
                client.replace_profile(&name, &before, None).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_text_fits_that_text() {
        for (key, wanted, has, fit) in [
            ("ipv4.address", "auto", "10.1.1.1/24", true),
            ("ipv6.address", "auto", "none", false),
            ("ipv4.address", "none", "10.1.1.1/24", false),
            ("ipv4.dhcp", "auto", "true", false),
            ("source", "/srv/pool/", "/srv/pool", true),
            ("source", "/srv/pool/", "/srv/pools", false),
        ] {
            assert_eq!(came_of(key, wanted, has), fit, "{key}: {wanted} {has}");
        }
    }

    #[test]
    fn a_failure_names_its_object_once() {
        let told = |text: &str| output::chain(&about("profile", "p1", anyhow::anyhow!("{text}")));
        for named in ["profile p1: instance c1: no", "Profile \"p1\" is not there"] {
            assert_eq!(told(named), named);
        }
        assert_eq!(told("Invalid value"), "profile p1: Invalid value");
        assert_eq!(told("profile p12: no"), "profile p1: profile p12: no");
    }
}
