//! `sc network`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::engine::ArgValueCompleter;
use sc_api::{
    AddressFamily, ByteSize, ConfigMap, Network as ApiNetwork, NetworkLease, NetworkState,
    NetworksPost, null_default, texts,
};
use sc_client::{Client, Tagged};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::objects::delete::{Delete, Deleted, NoFlags};
use super::objects::list::{List, Listed};
use super::objects::named::Named;
use super::objects::show::{Show, Shown};
use crate::columns::{self, Column};
use crate::complete::{network_names, network_settings};
use crate::context::Context;
use crate::output::{self, Format, printable};
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{given, keys, keyvalue};

/// The group.
pub struct Network;

impl Group for Network {
    const NAME: &'static str = "network";
    const ABOUT: &'static str = "Manage networks";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<ApiNetwork>>(),
        Entry::verb::<Show<ApiNetwork>>(),
        Entry::verb::<Info>(),
        Entry::verb::<ListLeases>(),
        Entry::verb::<Create>(),
        Entry::verb::<Delete<ApiNetwork>>(),
    ];
}

impl Named for ApiNetwork {
    const VALUE_NAME: &'static str = "NETWORK";
    const ONE: &'static str = "The network";
    const SEVERAL: &'static str = "The networks";

    fn names() -> ArgValueCompleter {
        network_names()
    }
}

impl Listed for ApiNetwork {
    const ABOUT: &'static str = "List networks";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'n', title: "NAME", about: "", value: |n| n.name.clone() },
        Column { letter: 't', title: "TYPE", about: "", value: |n| n.network_type.clone() },
        Column { letter: 'm', title: "MANAGED", about: "", value: managed },
        Column { letter: '4', title: "IPV4", about: "", value: |n| key(n, "ipv4.address") },
        Column { letter: '6', title: "IPV6", about: "", value: |n| key(n, "ipv6.address") },
        Column { letter: 'd', title: "DESCRIPTION", about: "", value: |n| n.description.clone() },
        Column { letter: 'u', title: "USED BY", about: "", value: |n| n.used_by.len().to_string() },
        Column { letter: 's', title: "STATE", about: "", value: |n| n.status.to_uppercase() },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        let mut networks = context.client.networks().await?;
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }
}

impl Shown for ApiNetwork {
    const ABOUT: &'static str = "Show a network's configuration";

    async fn get(client: &Client, name: &str) -> sc_client::Result<Tagged<Self>> {
        client.network(name).await
    }
}

impl Deleted for ApiNetwork {
    const ABOUT: &'static str = "Delete networks";
    const TITLE: &'static str = "Network";

    type Flags = NoFlags;

    async fn delete(context: &Context, name: &str, _: &NoFlags) -> sc_client::Result<()> {
        context.client.delete_network(name).await
    }
}

fn managed(network: &ApiNetwork) -> String {
    if network.managed { "YES" } else { "NO" }.to_owned()
}

fn key(network: &ApiNetwork, key: &str) -> String {
    network.config.get(key).cloned().unwrap_or_default()
}

/// `sc network info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The network
    #[arg(value_name = "NETWORK", add = network_names())]
    name: String,
}

impl Verb for Info {
    const NAME: &'static str = "info";
    const ABOUT: &'static str = "Show a network's state";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        output::print(describe(&name, &context.client.network_state(&name).await?))?;
        DONE
    }
}

/// A network's state for people. (Writing to text does not fail.)
fn describe(name: &str, state: &NetworkState) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "Name: {name}");
    let _ = writeln!(text, "MAC address: {}", state.hwaddr);
    let _ = writeln!(text, "MTU: {}", state.mtu);
    let _ = writeln!(text, "State: {}", state.state);
    let _ = writeln!(text, "Type: {}", state.state_type);
    if !state.addresses.is_empty() {
        let _ = writeln!(text, "\nAddresses:");
    }
    for address in &state.addresses {
        let family = match address.family {
            AddressFamily::Inet => "inet",
            AddressFamily::Inet6 => "inet6",
        };
        let (address, prefix, scope) = (&address.address, &address.netmask, &address.scope);
        let _ = writeln!(text, "  {family}: {address}/{prefix} ({scope})");
    }
    let counters = &state.counters;
    let _ = writeln!(text, "\nTraffic:");
    for (what, bytes, packets) in [
        ("Received", counters.bytes_received, counters.packets_received),
        ("Sent", counters.bytes_sent, counters.packets_sent),
    ] {
        let _ = writeln!(text, "  {what}: {} in {packets} packets", ByteSize(bytes));
    }
    text
}

const LEASES: &[Column<NetworkLease>] = &[
    Column { letter: 'n', title: "HOSTNAME", about: "", value: |l| printable(&l.hostname) },
    Column { letter: 'm', title: "MAC ADDRESS", about: "", value: |l| l.hwaddr.clone() },
    Column { letter: 'a', title: "IP ADDRESS", about: "", value: |l| l.address.clone() },
    Column { letter: 't', title: "TYPE", about: "", value: |l| l.lease_type.to_uppercase() },
];

/// `sc network list-leases`.
#[derive(Debug, Args)]
pub struct ListLeases {
    /// The network
    #[arg(value_name = "NETWORK", add = network_names())]
    name: String,
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
}

impl Verb for ListLeases {
    const NAME: &'static str = "list-leases";
    const ABOUT: &'static str = "List the addresses that a network gave away";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.name)?;
        let leases = context.client.network_leases(&name).await?;
        columns::print(self.format, &columns::all(LEASES), &leases)?;
        DONE
    }
}

/// `sc network create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The network's name, which is also its bridge's
    #[arg(value_name = "NETWORK")]
    name: String,
    /// Its keys
    #[arg(value_name = "KEY=VALUE", add = network_settings())]
    settings: Vec<String>,
    /// Its type, which is `bridge` unless standard input has another
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// What standard input gives: the network's own, and what only tells where `show` printed it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    #[serde(rename = "type", deserialize_with = "null_default")]
    kind: String,
    #[serde(deserialize_with = "null_default")]
    description: String,
    #[serde(deserialize_with = "texts")]
    config: ConfigMap,
    #[serde(rename = "name")]
    _name: IgnoredAny,
    #[serde(rename = "managed")]
    _managed: IgnoredAny,
    #[serde(rename = "status")]
    _status: IgnoredAny,
    #[serde(rename = "locations")]
    _locations: IgnoredAny,
    #[serde(rename = "used_by")]
    _used_by: IgnoredAny,
}

impl Verb for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a network";

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(keys::help_of_networks() + "\n" + given::HELP)
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        let settings = keyvalue::settings(&self.settings)?;
        let name = context.remotes.object(&self.name)?;
        let Given { kind, description, mut config, .. } = given::read("a network", context.quiet)?;
        config.extend(settings);
        let post = NetworksPost {
            name: name.parse()?,
            network_type: self.kind.unwrap_or(kind),
            description: self.description.unwrap_or(description),
            config,
        };
        context.client.create_network(&post).await?;
        output::done(&context, format!("Network {name} created"))?;
        DONE
    }
}
