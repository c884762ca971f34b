//! Whole networks, each in a network namespace of its own, with the real dnsmasq and nft, and
//! busybox as the guest.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::testing::{Namespace, in_namespace};
use crate::{ErrorKind, LeaseKind, Mac, NicRequest, ReserveRequest, new_host_name};

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
        let made = network.attach(&nic, netns.fd()).await.unwrap();
        assert_eq!((made.mac, made.mtu), (held.mac, 1500));
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

    async fn leave(self, network: &Network) {
        network.detach(&self.held.instance, &self.held.device, &self.host_name).await.unwrap();
        network.release(&self.held.instance, &self.held.device).await.unwrap();
    }
}

fn rules() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_guest_gets_its_address_and_finds_its_neighbour_and_nothing_is_left() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let rules_up = rules();
        assert!(rules_up.contains("table inet sc_scbr0"), "{rules_up}");
        assert!(rules_up.contains("masquerade"), "{rules_up}");
        let state = network.state().await.unwrap();
        assert!(state.up && state.addresses.contains(&("10.77.5.1".parse().unwrap(), 24)));
        assert!(state.addresses.contains(&("fd42:7:5:1::1".parse().unwrap(), 64)));

        let web1 = Guest::attach(&network, &request("web1")).await;
        let web2 = Guest::attach(&network, &request("web2")).await;
        assert_eq!(web1.dhcp(), "10.77.5.2 10.77.5.1 10.77.5.1 lxd");
        assert_eq!(web2.dhcp(), "10.77.5.3 10.77.5.1 10.77.5.1 lxd");
        for name in ["web2", "web2.lxd"] {
            let answer = web1.look_up(name, Some("10.77.5.3"));
            assert!(answer.contains("10.77.5.3"), "{answer}");
            assert!(answer.contains(&web2.held.ipv6.unwrap().to_string()), "{answer}");
        }
        let answer = web1.look_up("10.77.5.3", Some("web2.lxd"));
        assert!(answer.contains("web2.lxd"), "{answer}");
        let leases = network.leases().await.unwrap();
        let count = |kind| leases.iter().filter(|lease| lease.kind == kind).count();
        assert_eq!((count(LeaseKind::Static), count(LeaseKind::Dynamic)), (4, 0));
        assert_eq!(network.state().await.unwrap().ports.len(), 2);

        let pid = folder.pid().unwrap();
        web1.leave(&network).await;
        web2.leave(&network).await;
        network.stop().await.unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap(), None);
        assert_eq!(context.links.names_with_prefix("veth").await.unwrap(), [""; 0]);
        assert!(!folder.path().exists());
        assert!(!rules().contains("sc_scbr0"));
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(cmdline.is_empty(), "dnsmasq {pid} is still there");
    });
}

#[test]
fn the_address_of_an_instance_that_went_serves_the_next() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        for round in 0..3 {
            let name = format!("web{round}");
            let guest = Guest::attach(&network, &request(&name)).await;
            assert!(guest.dhcp().starts_with("10.77.5.2 "));
            assert!(guest.look_up(&name, Some("10.77.5.2")).contains("10.77.5.2"));
            if round > 0 {
                let gone = format!("web{}", round - 1);
                let answer = guest.look_up(&gone, None);
                assert!(!answer.contains("10.77.5.2\n"), "{answer}");
            }
            guest.leave(&network).await;
        }
        // dnsmasq takes the release when it comes to it.
        let lease_left = || {
            let text = fs::read_to_string(folder.path().join("dnsmasq.leases")).unwrap();
            text.contains("10.77.5.2")
        };
        let until = Instant::now() + Duration::from_secs(5);
        while lease_left() {
            assert!(Instant::now() < until, "the lease is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        network.stop().await.unwrap();
    });
}

#[test]
fn a_network_is_taken_up_again_with_the_same_dnsmasq() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let first = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        let web1 = Guest::attach(&first, &request("web1")).await;
        let (pid, bridge) = (folder.pid(), context.links.get("scbr0").await.unwrap().unwrap());
        let held = first.reservations();
        drop(first);

        // Without its pid file too.
        fs::remove_file(folder.path().join("dnsmasq.pid")).unwrap();
        let again = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        again.load_reservations(held).await.unwrap();
        fs::write(folder.path().join("dnsmasq.pid"), pid.unwrap().to_string()).unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap().unwrap().index, bridge.index);
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        assert!(web1.look_up("web1", Some("10.77.5.2")).contains("10.77.5.2"));
        again.stop().await.unwrap();
    });
}

#[test]
fn a_dnsmasq_that_dies_is_started_again() {
    in_namespace(async {
        let folder = Folder::new();
        let placed = Arc::new(Mutex::new(Vec::new()));
        let mut context = context();
        let seen = Arc::clone(&placed);
        context.place = Some(Arc::new(move |pid| {
            seen.lock().unwrap().push(pid);
            Ok(())
        }));
        let network = Network::start(config(&[]), &folder.path(), context).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        kill(folder.pid().unwrap());
        let until = Instant::now() + Duration::from_secs(10);
        while placed.lock().unwrap().len() < 2 {
            assert!(Instant::now() < until, "it is not started again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(web1.dhcp().starts_with("10.77.5.2 "));
        network.stop().await.unwrap();
    });
}

#[test]
fn another_configuration_moves_the_network_under_its_guests() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let moved =
            [("ipv4.address", "10.77.6.1/24"), ("ipv6.address", "none"), ("bridge.mtu", "1400")];
        let changed = network.apply(config(&moved)).await.unwrap();
        assert_eq!(changed.len(), 1);
        assert_eq!((changed[0].ipv4, changed[0].ipv6), (Some(Ipv4Addr::new(10, 77, 6, 2)), None));
        let state = network.state().await.unwrap();
        assert_eq!(state.addresses, [("10.77.6.1".parse().unwrap(), 24)]);
        assert_eq!(state.mtu, 1400);
        assert!(web1.dhcp().starts_with("10.77.6.2 10.77.6.1 "));
        // What cannot be applied leaves what was.
        let mut broken = network.config().to_map();
        broken.insert("ipv4.address".to_owned(), "127.0.0.1/8".to_owned());
        let broken = BridgeConfig::parse("scbr0", &broken).unwrap();
        assert_eq!(network.apply(broken).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(network.config().to_map(), config(&moved).to_map());
        assert_eq!(network.reservations(), changed);
        network.stop().await.unwrap();
    });
}

#[test]
fn what_is_not_ours_is_left_alone() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        context.links.create_bridge("scbr0", Mac::random(), 1500).await.unwrap();
        let error =
            Network::start(config(&[]), &folder.path(), context.clone()).await.err().unwrap();
        assert!(matches!(error, NetworkError::ForeignLink { .. }), "{error}");
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert!(context.links.get("scbr0").await.unwrap().is_some());
        assert!(!folder.path().exists());
        assert_eq!(pick_free_name(&context.links, "scbr").await.unwrap(), "scbr1");
    });
}

#[test]
fn a_missing_program_is_named_with_its_package_and_nothing_stays() {
    in_namespace(async {
        let (folder, mut context) = (Folder::new(), context());
        context.dnsmasq = "/nonexistent/dnsmasq".into();
        let error =
            Network::start(config(&[]), &folder.path(), context.clone()).await.err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains("install the package dnsmasq-base") && text.contains("scbr0"),
            "{text}"
        );
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(context.links.get("scbr0").await.unwrap(), None);
        assert!(!rules().contains("sc_scbr0"));
        assert!(!folder.path().exists());
    });
}

#[test]
fn the_traces_of_a_crash_go_without_the_network() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        drop(network);
        let pid = folder.pid().unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        Network::remove_traces("scbr0", &folder.path(), &context).await.unwrap();
        assert_eq!(context.links.get("scbr0").await.unwrap(), None);
        assert!(fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty());
        assert!(!rules().contains("sc_scbr0"));
    });
}

#[test]
fn chosen_subnets_are_free_and_serve() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let given = [("ipv6.nat".to_owned(), "false".to_owned())].into();
        let map = choose_subnets(&given, &context.links).await.unwrap();
        assert_eq!((map["ipv4.nat"].as_str(), map["ipv6.nat"].as_str()), ("true", "false"));
        let config = BridgeConfig::parse("scbr0", &map).unwrap();
        let network = Network::start(config, &folder.path(), context.clone()).await.unwrap();
        assert_eq!(network.state().await.unwrap().addresses.len(), 2);
        network.shut_down().await.unwrap();
        assert!(folder.path().exists());
        network.stop().await.unwrap();
    });
}

#[test]
fn a_guest_decides_its_name_only_within_its_network() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let web2 = Guest::attach(&network, &request("web2")).await;
        let shown = ["8.8.8.8", "10.77.5.1", "10.77.5.3", "fd42:7:5:1::99", "fe80::1"];
        let shown: Vec<IpAddr> = shown.iter().map(|text| text.parse().unwrap()).collect();
        network.set_addresses("web1", "eth0", &shown).await.unwrap();
        let text = fs::read_to_string(folder.path().join("dnsmasq.names/web1.eth0")).unwrap();
        assert_eq!(text, "10.77.5.2 web1.lxd web1\nfd42:7:5:1::99 web1.lxd web1\n");
        web1.leave(&network).await;
        web2.leave(&network).await;
        network.stop().await.unwrap();
    });
}

#[test]
fn a_guest_makes_itself_the_ipv6_address_that_its_name_stands_for() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        let wanted: IpAddr = web1.held.ipv6.unwrap().into();
        let route = web1.run(async move {
            let links = Links::new().unwrap();
            links.set_up("eth0").await.unwrap();
            let index = links.get("eth0").await.unwrap().unwrap().index;
            let until = Instant::now() + Duration::from_secs(20);
            while !links.addresses(index).await.unwrap().iter().any(|net| net.addr() == wanted) {
                assert!(Instant::now() < until, "no address by router advertisement");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let output = Command::new("busybox").args(["ip", "-6", "route"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        });
        assert!(route.contains("default via fe80:"), "{route}");
        network.stop().await.unwrap();
    });
}

#[test]
fn what_leaves_the_network_takes_the_hosts_address() {
    in_namespace(async {
        let (folder, context) = (Folder::new(), context());
        let network = Network::start(config(&[]), &folder.path(), context.clone()).await.unwrap();
        // The world beyond, which has no way back to the network's own subnet.
        context.links.create_bridge("wan0", Mac::random(), 1500).await.unwrap();
        let wan = context.links.get("wan0").await.unwrap().unwrap().index;
        context.links.set_up("wan0").await.unwrap();
        context.links.add_address(wan, "192.0.2.1/24".parse().unwrap()).await.unwrap();
        let world = Namespace::new();
        let (host_name, mac) = (new_host_name(), Mac::random());
        let veth = crate::link::Veth {
            host_name: &host_name,
            guest_name: "eth0",
            mac,
            mtu: 1500,
            bridge: wan,
        };
        context.links.create_veth(&veth, world.fd()).await.unwrap();
        context.links.set_up(&host_name).await.unwrap();
        world.run(async {
            let links = Links::new().unwrap();
            let index = links.get("eth0").await.unwrap().unwrap().index;
            links.add_address(index, "192.0.2.2/24".parse().unwrap()).await.unwrap();
            links.set_up("eth0").await.unwrap();
        });
        let web1 = Guest::attach(&network, &request("web1")).await;
        web1.dhcp();
        let reached = web1.run(async {
            let args = ["ping", "-c", "1", "-W", "5", "192.0.2.2"];
            Command::new("busybox").args(args).output().unwrap().status.success()
        });
        assert!(reached);
        network.stop().await.unwrap();
    });
}

#[test]
fn a_strangers_lease_keeps_an_address_until_an_instance_is_given_it() {
    in_namespace(async {
        let folder = Folder::new();
        let network = Network::start(config(&[]), &folder.path(), context()).await.unwrap();
        // A guest that makes up a hardware address is a stranger.
        let guest = Guest::attach(&network, &request("web1")).await;
        let stranger = Mac::random();
        guest.run(async move { Links::new().unwrap().set_mac("eth0", stranger).await.unwrap() });
        let bound = guest.dhcp();
        let address: Ipv4Addr = bound.split(' ').next().unwrap().parse().unwrap();
        assert!((224..255).contains(&address.octets()[3]), "{address}");
        let leases = network.leases().await.unwrap();
        let dynamic = leases.iter().find(|lease| lease.kind == LeaseKind::Dynamic).unwrap();
        assert_eq!((dynamic.mac, dynamic.address), (Some(stranger), address.into()));
        let mut wanted = request("web2");
        wanted.ipv4 = Some(address);
        assert_eq!(network.reserve(&wanted).unwrap_err().kind(), ErrorKind::Conflict);
        // A reservation from before the lease wins when its instance starts.
        let held = Reservation {
            instance: "web2".to_owned(),
            device: "eth0".to_owned(),
            hostname: "web2".to_owned(),
            mac: wanted.mac,
            ipv4: Some(address),
            ipv6: None,
        };
        let mut all = network.reservations();
        all.push(held);
        network.load_reservations(all).await.unwrap();
        wanted.ipv4 = None;
        let web2 = Guest::attach(&network, &wanted).await;
        assert!(web2.dhcp().starts_with(&format!("{address} ")));
        network.stop().await.unwrap();
    });
}

#[test]
fn dhcpv6_with_addresses_lets_a_released_one_serve_again() {
    in_namespace(async {
        let folder = Folder::new();
        let stateful = [("ipv6.address", "fd42:7:5:1::1/120"), ("ipv6.dhcp.stateful", "true")];
        let network = Network::start(config(&stateful), &folder.path(), context()).await.unwrap();
        let web1 = Guest::attach(&network, &request("web1")).await;
        assert_eq!(web1.held.ipv6.unwrap().to_string(), "fd42:7:5:1::2");
        let leases = folder.path().join("dnsmasq.leases");
        let duid = fs::read_to_string(&leases).unwrap();
        assert!(duid.contains("duid"), "{duid}");
        // As dnsmasq would have written it for a client.
        let pid = folder.pid().unwrap();
        let line = "1999999999 7 fd42:7:5:1::2 * 00:01:00:01:2c:00:00:00:00:16:3e:00:00:01\n";
        fs::write(&leases, format!("{duid}{line}")).unwrap();
        web1.leave(&network).await;
        assert!(!fs::read_to_string(&leases).unwrap().contains("fd42:7:5:1::2"));
        assert_ne!(folder.pid().unwrap(), pid);
        assert!(network.reserve(&request("web2")).is_ok());
        network.stop().await.unwrap();
    });
}

#[test]
fn a_bridge_without_a_free_port_says_so() {
    in_namespace(async {
        let folder = Folder::new();
        let wide = [("ipv4.address", "10.77.0.1/20"), ("ipv6.address", "none")];
        let context = context();
        let network = Network::start(config(&wide), &folder.path(), context.clone()).await.unwrap();
        let bridge = context.links.get("scbr0").await.unwrap().unwrap().index;
        let netns = Namespace::new();
        for number in 0..1023 {
            let (host_name, guest_name) = (format!("veth{number:08x}"), format!("eth{number}"));
            let (host_name, guest_name, mac) = (&*host_name, &*guest_name, Mac::random());
            let veth = crate::link::Veth { host_name, guest_name, mac, mtu: 1500, bridge };
            context.links.create_veth(&veth, netns.fd()).await.unwrap();
        }
        let nic = NicRequest {
            reservation: network.reserve(&request("web1")).unwrap(),
            host_name: "vethffffffff".to_owned(),
            guest_name: "eth0".to_owned(),
            mtu: None,
        };
        let error = network.attach(&nic, Namespace::new().fd()).await.unwrap_err();
        assert!(matches!(error, NetworkError::BridgeFull { .. }), "{error}");
        assert_eq!(context.links.get("vethffffffff").await.unwrap(), None);
        let names = folder.path().join("dnsmasq.names");
        assert_eq!(fs::read_dir(names).unwrap().count(), 0);
        network.stop().await.unwrap();
    });
}
