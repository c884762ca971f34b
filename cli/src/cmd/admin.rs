//! `sc admin`: the daemon itself.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sc_api::{ConfigMap, DeviceMap, ErrorKind, NetworksPost, ProfilePut, StoragePoolsPost};
use sc_client::{Error, Tagged};

use super::preseed;
use crate::context::Context;
use crate::verb::{DONE, Entry, Group, Verb};
use crate::{number, output};

/// How often a daemon that starts or ends is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The group.
pub struct Admin;

impl Group for Admin {
    const NAME: &'static str = "admin";
    const ABOUT: &'static str = "Manage the daemon";
    const VERBS: &'static [Entry] =
        &[Entry::verb::<Init>(), Entry::verb::<WaitReady>(), Entry::verb::<Shutdown>()];
}

/// `sc admin init`.
#[derive(Debug, Args)]
#[group(id = "how", required = true, multiple = false, args = ["auto", "preseed"])]
pub struct Init {
    /// Make what is missing, without questions
    #[arg(long)]
    auto: bool,
    /// Make what a text on standard input wants: YAML in the form of LXD's preseed
    #[arg(long)]
    preseed: bool,
}

impl Verb for Init {
    const NAME: &'static str = "init";
    const ABOUT: &'static str = "Make what is missing for the first instance";

    async fn run(self, context: Context) -> Result<ExitCode> {
        if self.preseed {
            let text = std::io::read_to_string(std::io::stdin()).context("read standard input")?;
            preseed::apply(&context, &text).await?;
            return DONE;
        }
        let pool = ensure_pool(&context).await?;
        let network = ensure_network(&context).await?;
        ensure_profile(&context, &pool, &network).await?;
        DONE
    }
}

/// The pool that instances go to: `default`, or the first there is, or one that is made.
async fn ensure_pool(context: &Context) -> Result<String> {
    let pools = context.client.pools().await?;
    let found = pools.iter().find(|pool| pool.name == "default").or(pools.first());
    if let Some(pool) = found {
        return Ok(pool.name.clone());
    }
    let post = StoragePoolsPost {
        name: "default".parse()?,
        driver: "overlay".into(),
        description: String::new(),
        config: ConfigMap::new(),
    };
    context.client.create_pool(&post).await?;
    output::line("Storage pool default created")?;
    Ok("default".into())
}

/// How many names are tried for a bridge.
const BRIDGES: u32 = 10;

/// The bridge that instances are connected to: a managed one, or one that is made.
async fn ensure_network(context: &Context) -> Result<String> {
    let networks = context.client.networks().await?;
    if let Some(network) = networks.iter().find(|network| network.managed) {
        return Ok(network.name.clone());
    }
    // The first names may be bridges of other daemons of this host.
    for number in 0..BRIDGES {
        let name = format!("scbr{number}");
        let post = NetworksPost {
            name: name.parse()?,
            network_type: "bridge".into(),
            description: String::new(),
            config: ConfigMap::new(),
        };
        match context.client.create_network(&post).await {
            Err(error) if error.kind() == ErrorKind::Conflict && number + 1 < BRIDGES => {}
            outcome => {
                outcome?;
                output::line(format!("Network {name} created"))?;
                return Ok(name);
            }
        }
    }
    unreachable!("the last name is tried for good")
}

/// Gives the default profile a root disk and a NIC where it has none.
async fn ensure_profile(context: &Context, pool: &str, network: &str) -> Result<()> {
    let Tagged { value, etag } = context.client.profile("default").await?;
    let mut devices = value.devices;
    let missing = missing_devices(&devices, pool, network);
    if missing.is_empty() {
        return Ok(());
    }
    devices.extend(missing);
    let put = ProfilePut { description: value.description, config: value.config, devices };
    context.client.replace_profile("default", &put, etag.as_deref()).await?;
    output::line("Profile default completed")
}

fn missing_devices(devices: &DeviceMap, pool: &str, network: &str) -> DeviceMap {
    let has = |key: &str, value: &str| {
        devices.values().any(|device| device.get(key).is_some_and(|has| has == value))
    };
    let device = |keys: &[(&str, &str)]| -> ConfigMap {
        keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let mut missing = DeviceMap::new();
    if !has("path", "/") {
        missing.insert("root".into(), device(&[("type", "disk"), ("path", "/"), ("pool", pool)]));
    }
    if !has("type", "nic") {
        let nic = device(&[("type", "nic"), ("name", "eth0"), ("network", network)]);
        missing.insert("eth0".into(), nic);
    }
    missing
}

/// `sc admin waitready`.
#[derive(Debug, Args)]
pub struct WaitReady {
    /// Give up after so many seconds; 0: never
    #[arg(short, long, value_name = "SECONDS", default_value = "0", value_parser = number::seconds)]
    timeout: u64,
}

impl Verb for WaitReady {
    const NAME: &'static str = "waitready";
    const ABOUT: &'static str = "Wait until the daemon has started what it starts by itself";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let limit = Limit::new(self.timeout);
        let mut last = "it does not answer".to_owned();
        loop {
            let why = match limit.run(context.client.ready()).await {
                Some(Ok(())) => return DONE,
                // Waiting lets nobody in.
                Some(Err(error @ Error::PermissionDenied { .. })) => return Err(error.into()),
                Some(Err(error)) if limit.is_over() => output::chain(&error.into()),
                Some(Err(error)) => {
                    last = output::chain(&error.into());
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                None => last,
            };
            bail!("the daemon is not ready after {} s: {why}", self.timeout);
        }
    }
}

/// `sc admin shutdown`.
#[derive(Debug, Args)]
pub struct Shutdown {
    /// Leave the instances running; the next daemon finds them again
    #[arg(long)]
    leave: bool,
    /// Give up after so many seconds; 0: never
    #[arg(short, long, value_name = "SECONDS", default_value = "0", value_parser = number::seconds)]
    timeout: u64,
}

impl Verb for Shutdown {
    const NAME: &'static str = "shutdown";
    const ABOUT: &'static str = "Stop all instances in order, and end the daemon";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let limit = Limit::new(self.timeout);
        let ended = async {
            let process = process(&context).await?;
            match context.client.shutdown(self.leave).await {
                // A daemon that ends may take its answer with it.
                Ok(()) | Err(Error::Broken { .. }) => {}
                Err(error) => return Err(error),
            }
            while context.client.server().await.is_ok() {
                tokio::time::sleep(POLL).await;
            }
            // The socket goes first; files and locks are free when the process is gone.
            while process.as_ref().is_some_and(|process| !has_ended(process)) {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        match limit.run(ended).await {
            Some(ended) => ended?,
            None => bail!("the daemon has not ended after {} s", self.timeout),
        }
        DONE
    }
}

/// The daemon's process; none where it cannot be seen.
async fn process(context: &Context) -> Result<Option<OwnedFd>, Error> {
    let pid = context.client.daemon_pid().await?.and_then(Pid::from_raw);
    Ok(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
}

/// A process's descriptor is readable when it has ended.
fn has_ended(process: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(process, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// A moment to give up at, if there is one.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<Instant>);

impl Limit {
    fn new(seconds: u64) -> Self {
        // So far away as nobody waits, but not farther than the clock goes.
        let bounded = Duration::from_secs(seconds.min(u32::MAX.into()));
        Self((seconds > 0).then(|| Instant::now() + bounded))
    }

    fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// Runs something until its end or the limit, which gives `None`.
    async fn run<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            None => Some(work.await),
            Some(end) => tokio::time::timeout_at(end.into(), work).await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_profile_lacks_is_added() {
        let missing = missing_devices(&DeviceMap::new(), "p", "br");
        assert_eq!(missing.keys().collect::<Vec<_>>(), ["eth0", "root"]);
        assert_eq!(missing["root"]["pool"], "p");
        let mut devices = DeviceMap::new();
        devices.insert("disk0".into(), missing["root"].clone());
        assert_eq!(missing_devices(&devices, "p", "br").keys().collect::<Vec<_>>(), ["eth0"]);
    }
}
