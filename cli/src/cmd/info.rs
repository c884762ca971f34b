//! `sc info`: an instance, or the server.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sc_api::{AddressFamily, ByteSize, Instance, InstanceState, StatusCode};

use super::list_columns::moment;
use crate::complete::instance_names;
use crate::context::Context;
use crate::output::{self, printable};
use crate::verb::{DONE, Verb};

/// The log of an instance's supervisor, by the name that LXD's clients ask for.
const LOG: &str = "lxc.log";

/// `sc info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The instance; without one, the server
    #[arg(value_name = "NAME", add = instance_names())]
    name: Option<String>,
    /// Show the log of the instance's start and supervision as well
    #[arg(long, requires = "name")]
    show_log: bool,
}

impl Verb for Info {
    const NAME: &'static str = "info";
    const ABOUT: &'static str = "Show an instance, or the server";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = match self.name.as_deref() {
            Some(name) if context.remotes.server(name).is_err() => context.remotes.object(name)?,
            _ => {
                output::yaml(&context.client.server().await?.value)?;
                return DONE;
            }
        };
        let instance = context.client.instance_full(&name).await?;
        let state = match instance.state.clone() {
            Some(state) => state,
            None => context.client.instance_state(&name).await?,
        };
        let mut text = describe(&instance, &state);
        if self.show_log {
            let log = context.client.instance_log(&name, LOG).await?;
            let _ = write!(text, "\nLog:\n\n{}", printable(&String::from_utf8_lossy(&log)));
        }
        output::print(text)?;
        DONE
    }
}

/// An instance for people. (Writing to text does not fail.)
fn describe(instance: &Instance, state: &InstanceState) -> String {
    let mut text = String::new();
    let kind = if instance.ephemeral { "container (ephemeral)" } else { "container" };
    let _ = writeln!(text, "Name: {}", instance.name);
    let _ = writeln!(text, "Status: {}", instance.status.to_uppercase());
    let _ = writeln!(text, "Type: {kind}");
    let _ = writeln!(text, "Architecture: {}", instance.architecture);
    for (title, value) in [
        ("Description", instance.description.clone()),
        ("Location", instance.location.clone()),
        ("Created", moment(instance.created_at)),
        ("Last used", moment(instance.last_used_at)),
    ] {
        if !value.is_empty() && value != "none" {
            let _ = writeln!(text, "{title}: {}", printable(&value));
        }
    }
    if state.status_code != StatusCode::Stopped {
        let _ = writeln!(text, "PID: {}", state.pid);
        describe_resources(&mut text, state);
        describe_network(&mut text, state);
    }
    text
}

fn describe_resources(text: &mut String, state: &InstanceState) {
    let size = |bytes: i64| ByteSize(u64::try_from(bytes).unwrap_or(0));
    let _ = writeln!(text, "\nResources:");
    let _ = writeln!(text, "  Processes: {}", state.processes);
    let _ = writeln!(text, "  CPU usage: {:.3} s", state.cpu.usage as f64 / 1e9);
    let _ = write!(text, "  Memory: {}", size(state.memory.usage));
    if state.memory.total > 0 {
        let _ = write!(text, " of {}", size(state.memory.total));
    }
    if state.memory.usage_peak > 0 {
        let _ = write!(text, ", at most {}", size(state.memory.usage_peak));
    }
    text.push('\n');
}

fn describe_network(text: &mut String, state: &InstanceState) {
    if state.network.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nNetwork:");
    for (name, interface) in &state.network {
        let _ = writeln!(text, "  {}:", printable(name));
        let _ = writeln!(text, "    State: {}", interface.state.to_uppercase());
        for (title, value) in
            [("Host interface", &interface.host_name), ("MAC address", &interface.hwaddr)]
        {
            if !value.is_empty() {
                let _ = writeln!(text, "    {title}: {value}");
            }
        }
        let _ = writeln!(text, "    MTU: {}", interface.mtu);
        let counters = &interface.counters;
        let _ = writeln!(
            text,
            "    Received: {} in {} packets",
            ByteSize(counters.bytes_received),
            counters.packets_received
        );
        let _ = writeln!(
            text,
            "    Sent: {} in {} packets",
            ByteSize(counters.bytes_sent),
            counters.packets_sent
        );
        for address in &interface.addresses {
            let family = match address.family {
                AddressFamily::Inet => "inet",
                AddressFamily::Inet6 => "inet6",
            };
            let (address, prefix, scope) = (&address.address, &address.netmask, &address.scope);
            let _ = writeln!(text, "    {family}: {address}/{prefix} ({scope})");
        }
    }
}
