//! Whole networks, each in a network namespace of its own, with the real dnsmasq and nft, and
//! busybox as the guest.

mod beside;
mod guests;
mod hostile;
mod life;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::testing::{Namespace, in_namespace};
use crate::{
    ErrorKind, LeaseKind, Mac, NicRequest, Port, Reservation, ReserveRequest, new_host_name,
};

/// A network's folder, and its dnsmasq if a test fails before it is stopped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("scbr0")
    }

    fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.path().join("dnsmasq.pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if cmdline.contains(self.path().to_str().unwrap()) {
            kill(pid);
        }
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn config(pairs: &[(&str, &str)]) -> BridgeConfig {
    let mut map: ConfigMap = [
        ("ipv4.address", "10.77.5.1/24"),
        ("ipv4.nat", "true"),
        ("ipv6.address", "fd42:7:5:1::1/64"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    map.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    BridgeConfig::parse("scbr0", &map).unwrap()
}

fn context() -> Context {
    Context::new(Links::new().unwrap())
}

fn request(instance: &str) -> ReserveRequest {
    ReserveRequest {
        instance: instance.to_owned(),
        device: "eth0".to_owned(),
        hostname: instance.to_owned(),
        mac: Mac::random(),
        ipv4: None,
        ipv6: None,
    }
}

/// An instance on a network: its namespace and what it has there.
struct Guest {
    netns: Namespace,
    held: Reservation,
    host_name: String,
}

impl Guest {
    async fn attach(network: &Network, request: &ReserveRequest) -> Self {
        let held = network.reserve(request).unwrap();
        let (netns, host_name) = (Namespace::new(), new_host_name());
        let nic = NicRequest {
            reservation: held.clone(),
            host_name: host_name.clone(),
            guest_name: "eth0".to_owned(),
            mtu: None,
        };
        network.attach(&nic, netns.fd()).await.unwrap();
        let made = netns.run(async { Links::new().unwrap().get("eth0").await.unwrap().unwrap() });
        assert_eq!((made.mac, made.mtu), (Some(held.mac), 1500));
        Self { netns, held, host_name }
    }

    /// Asks for an address by DHCP and sets it; returns it.
    fn dhcp(&self) -> String {
        self.run(async {
            Links::new().unwrap().set_up("eth0").await.unwrap();
            let dir = tempfile::tempdir().unwrap();
            let script = dir.path().join("script");
            let text = "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n\
                        busybox ifconfig eth0 $ip netmask $subnet && busybox route add default gw $router\n\
                        echo \"$ip $router $dns $domain\" > \"${0%/*}/bound\"\n";
            fs::write(&script, text).unwrap();
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            let args = ["udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "20", "-T", "1", "-s"];
            let output = Command::new("busybox").args(args).arg(&script).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            fs::read_to_string(dir.path().join("bound")).unwrap().trim().to_owned()
        })
    }

    /// Looks a name up at the network's DNS server until this answer is there; returns what was said.
    fn look_up(&self, name: &str, wanted: Option<&str>) -> String {
        let (name, wanted) = (name.to_owned(), wanted.map(str::to_owned));
        self.run(async move {
            let until = Instant::now() + Duration::from_secs(5);
            loop {
                let args = ["nslookup", name.as_str(), "10.77.5.1"];
                let output = Command::new("busybox").args(args).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let right = match &wanted {
                    Some(address) => {
                        text.lines().any(|line| {
                            line.starts_with("Address") && line.ends_with(&format!(" {address}"))
                        }) || text.contains(&format!("name = {address}"))
                    }
                    None => text.contains("NXDOMAIN") || text.contains("can't find"),
                };
                if right || Instant::now() > until {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.netns.run(future)
    }

    fn port(&self) -> Port {
        let Reservation { instance, device, .. } = self.held.clone();
        Port { instance, device, host_name: self.host_name.clone() }
    }

    async fn leave(self, network: &Network) {
        network.detach(&self.held.instance, &self.held.device, &self.host_name).await.unwrap();
        network.release(&self.held.instance, &self.held.device).await.unwrap();
    }
}

fn rules() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The world beyond, at 192.0.2.2, which has no way back to the network's own subnet.
async fn world(context: &Context) -> Namespace {
    behind_bridge(context, "wan0", "192.0.2.").await
}

/// A guest of someone else's at `subnet`2, behind a bridge at `subnet`1.
async fn behind_bridge(context: &Context, name: &str, subnet: &'static str) -> Namespace {
    let net = |host: u8| format!("{subnet}{host}/24").parse().unwrap();
    context.links.create_bridge(name, Mac::random(), 1500).await.unwrap();
    let bridge = context.links.get(name).await.unwrap().unwrap().index;
    context.links.set_up(name).await.unwrap();
    context.links.add_address(bridge, net(1)).await.unwrap();
    let inside = Namespace::new();
    let (host_name, mac) = (new_host_name(), Mac::random());
    let (host_name, guest_name) = (&*host_name, "eth0");
    let veth = crate::link::Veth { host_name, guest_name, mac, mtu: 1500, bridge, group: 7 };
    context.links.create_veth(&veth, inside.fd()).await.unwrap();
    context.links.set_up(host_name).await.unwrap();
    let address = net(2);
    inside.run(async move {
        let links = Links::new().unwrap();
        let index = links.get("eth0").await.unwrap().unwrap().index;
        links.add_address(index, address).await.unwrap();
        links.set_up("eth0").await.unwrap();
    });
    inside
}
