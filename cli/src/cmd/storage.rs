//! `sc storage`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::engine::ArgValueCompleter;
use sc_api::{
    ByteSize, ConfigMap, PoolResources, StoragePool, StoragePoolsPost, null_default, texts,
};
use sc_client::{Client, Tagged};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::objects::delete::{Delete, Deleted};
use super::objects::list::{List, Listed};
use super::objects::named::Named;
use super::objects::show::{Show, Shown};
use crate::columns::Column;
use crate::complete::{drivers, pool_names, pool_settings};
use crate::context::Context;
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{given, keyvalue, output};

/// The group.
pub struct Storage;

impl Group for Storage {
    const NAME: &'static str = "storage";
    const ABOUT: &'static str = "Manage storage pools";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<StoragePool>>(),
        Entry::verb::<Show<StoragePool>>(),
        Entry::verb::<Info>(),
        Entry::verb::<Create>(),
        Entry::verb::<Delete<StoragePool>>(),
    ];
}

impl Named for StoragePool {
    const VALUE_NAME: &'static str = "POOL";
    const ONE: &'static str = "The pool";
    const SEVERAL: &'static str = "The pools";

    fn names() -> ArgValueCompleter {
        pool_names()
    }
}

impl Listed for StoragePool {
    const ABOUT: &'static str = "List storage pools";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'n', title: "NAME", about: "", value: |p| p.name.clone() },
        Column { letter: 'D', title: "DRIVER", about: "", value: |p| p.driver.clone() },
        Column { letter: 'S', title: "SOURCE", about: "", value: source },
        Column { letter: 'd', title: "DESCRIPTION", about: "", value: |p| p.description.clone() },
        Column { letter: 'u', title: "USED BY", about: "", value: |p| p.used_by.len().to_string() },
        Column { letter: 's', title: "STATE", about: "", value: |p| p.status.to_uppercase() },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        let mut pools = context.client.pools().await?;
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pools)
    }
}

impl Shown for StoragePool {
    const ABOUT: &'static str = "Show a pool's configuration";

    async fn get(client: &Client, name: &str) -> sc_client::Result<Tagged<Self>> {
        client.pool(name).await
    }
}

impl Deleted for StoragePool {
    const ABOUT: &'static str = "Delete storage pools";
    const TITLE: &'static str = "Storage pool";

    type Flags = DeleteFlags;

    async fn delete(context: &Context, name: &str, flags: &DeleteFlags) -> sc_client::Result<()> {
        context.client.delete_pool(name, flags.force).await
    }
}

/// How a pool is deleted.
#[derive(Debug, Args)]
pub struct DeleteFlags {
    /// Forget one that is not where it should be; what it holds stays there
    #[arg(short, long)]
    force: bool,
}

fn source(pool: &StoragePool) -> String {
    pool.config.get("source").cloned().unwrap_or_default()
}

/// `sc storage info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The pool
    #[arg(value_name = "POOL", add = pool_names())]
    name: String,
}

impl Verb for Info {
    const NAME: &'static str = "info";
    const ABOUT: &'static str = "Show what a pool has and uses";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let pool = context.client.pool(&name).await?.value;
        let resources = context.client.pool_resources(&name).await?;
        output::print(describe(&pool, &resources))?;
        DONE
    }
}

/// A pool for people. (Writing to text does not fail.)
fn describe(pool: &StoragePool, resources: &PoolResources) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "Name: {}", pool.name);
    let _ = writeln!(text, "Driver: {}", pool.driver);
    if !pool.description.is_empty() {
        let _ = writeln!(text, "Description: {}", pool.description);
    }
    let space = resources.space;
    let _ = writeln!(text, "Space used: {} of {}", ByteSize(space.used), ByteSize(space.total));
    let inodes = resources.inodes;
    if inodes.total > 0 {
        let _ = writeln!(text, "Inodes used: {} of {}", inodes.used, inodes.total);
    }
    if !pool.used_by.is_empty() {
        let _ = writeln!(text, "Used by:");
    }
    for user in &pool.used_by {
        let _ = writeln!(text, "  {user}");
    }
    text
}

/// `sc storage create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The pool
    #[arg(value_name = "POOL")]
    name: String,
    /// Its driver: overlay, dir
    #[arg(value_name = "DRIVER", add = drivers())]
    driver: String,
    /// Its keys: source=FOLDER, an empty folder that is there, to keep it in
    #[arg(value_name = "KEY=VALUE", add = pool_settings())]
    settings: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// What standard input gives: the pool's own, and what only tells where `show` printed it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    #[serde(deserialize_with = "null_default")]
    description: String,
    #[serde(deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(rename = "name")]
    _name: IgnoredAny,
    #[serde(rename = "driver")]
    _driver: IgnoredAny,
    #[serde(rename = "status")]
    _status: IgnoredAny,
    #[serde(rename = "locations")]
    _locations: IgnoredAny,
    #[serde(rename = "used_by")]
    _used_by: IgnoredAny,
}

impl Verb for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a storage pool";

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(given::HELP)
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.settings)?;
        let name = context.remotes.object(&self.name)?;
        let Given { description, mut config, .. } = given::read("a pool", context.quiet)?;
        config.extend(settings);
        let post = StoragePoolsPost {
            name: name.parse()?,
            driver: self.driver,
            description: self.description.unwrap_or(description),
            config,
        };
        context.client.create_pool(&post).await?;
        output::done(&context, format!("Storage pool {name} created"))?;
        DONE
    }
}
