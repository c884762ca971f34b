//! How dnsmasq is started.

use std::fs;

use super::{Files, GATEWAY};
use crate::BridgeConfig;
use crate::config::DnsMode;
use crate::ipam::Ranges;

/// Who dnsmasq becomes once it has its sockets.
pub(crate) struct Account {
    pub user: String,
    pub group: String,
    /// The group's number, where the host has the group.
    pub gid: Option<u32>,
}

/// Its package's own user, or where another package brought the program, nobody.
pub(super) fn account() -> Account {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let user =
        if passwd.lines().any(|line| line.starts_with("dnsmasq:")) { "dnsmasq" } else { "nobody" };
    let gid = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(user))
        .and_then(|line| line.split(':').nth(3));
    let group = groups
        .lines()
        .find(|line| gid.is_some() && line.split(':').nth(2) == gid)
        .and_then(|line| line.split(':').next())
        .unwrap_or("nogroup");
    let gid = groups
        .lines()
        .find(|line| line.split(':').next() == Some(group))
        .and_then(|line| line.split(':').nth(2)?.parse().ok());
    Account { user: user.to_owned(), group: group.to_owned(), gid }
}

/// The arguments for a network. They are also what it is recognised by, so equal configurations must
/// give equal arguments.
pub(super) fn arguments(config: &BridgeConfig, files: &Files, account: &Account) -> Vec<String> {
    let name = &config.name;
    let mut args = vec![
        // Nothing of the host's own configuration.
        "--conf-file=".to_owned(),
        "--no-hosts".to_owned(),
        // The bridge alone, addresses that come later included (its link-local one comes with its
        // first port), beside other servers on the host.
        "--bind-dynamic".to_owned(),
        "--except-interface=lo".to_owned(),
        format!("--interface={name}"),
        format!("--user={}", account.user),
        format!("--group={}", account.group),
        format!("--pid-file={}", files.pid().display()),
        format!("--log-facility={}", files.log().display()),
        "--strict-order".to_owned(),
    ];
    dns(config, files, &mut args);
    if config.ipv4.is_some() && config.ipv4_dhcp || config.ipv6.is_some() {
        dhcp(config, files, &mut args);
    }
    dhcp4(config, &mut args);
    dhcp6(config, &mut args);
    args
}

fn dns(config: &BridgeConfig, files: &Files, args: &mut Vec<String>) {
    if config.dns_mode == DnsMode::None {
        args.push("--port=0".to_owned());
        return;
    }
    let (name, domain) = (&config.name, &config.dns_domain);
    args.push(format!("--hostsdir={}", files.names().display()));
    args.push(format!("--domain={domain}"));
    // The domain is ours: nobody upstream is asked about it, nor about bare names.
    args.push(format!("--local=/{domain}/"));
    args.push("--domain-needed".to_owned());
    // As any instance: with the domain, which a look-up of the address finds, and without.
    args.push(format!("--interface-name={GATEWAY}.{domain},{name}"));
    args.push(format!("--interface-name={GATEWAY},{name}"));
}

fn dhcp(config: &BridgeConfig, files: &Files, args: &mut Vec<String>) {
    args.extend([
        format!("--dhcp-hostsdir={}", files.hosts().display()),
        format!("--dhcp-leasefile={}", files.leases().display()),
        "--dhcp-authoritative".to_owned(),
        "--dhcp-no-override".to_owned(),
        "--dhcp-rapid-commit".to_owned(),
        // A bridge can have more ports than the default of 1,000 leases.
        "--dhcp-lease-max=65536".to_owned(),
        "--no-ping".to_owned(),
        "--quiet-dhcp".to_owned(),
        "--quiet-dhcp6".to_owned(),
        "--quiet-ra".to_owned(),
    ]);
    if config.dns_mode != DnsMode::Dynamic {
        args.push("--dhcp-ignore-names".to_owned());
    }
}

fn dhcp4(config: &BridgeConfig, args: &mut Vec<String>) {
    let (Some(net), Some(ranges)) = (config.ipv4, Ranges::ipv4(config)) else { return };
    let (mask, expiry) = (net.netmask(), &config.ipv4_dhcp_expiry);
    args.push(format!("--dhcp-range={},static,{mask},{expiry}", net.network()));
    for (first, last) in &ranges.dynamic {
        args.push(format!("--dhcp-range={first},{last},{mask},{expiry}"));
    }
    if config.mtu != 1500 {
        args.push(format!("--dhcp-option-force=option:mtu,{}", config.mtu));
    }
    if !config.dns_search.is_empty() {
        let search = config.dns_search.join(",");
        args.push(format!("--dhcp-option-force=option:domain-search,{search}"));
    }
}

fn dhcp6(config: &BridgeConfig, args: &mut Vec<String>) {
    let Some(net) = config.ipv6 else { return };
    args.push("--enable-ra".to_owned());
    if let Some(ranges) = Ranges::ipv6(config) {
        let (prefix, expiry) = (net.prefix_len(), &config.ipv6_dhcp_expiry);
        args.push(format!("--dhcp-range={},static,{prefix},{expiry}", net.network()));
        for (first, last) in &ranges.dynamic {
            args.push(format!("--dhcp-range={first},{last},{prefix},{expiry}"));
        }
    } else {
        let mode = if config.ipv6_dhcp { "ra-stateless" } else { "ra-only" };
        args.push(format!("--dhcp-range=::,constructor:{},{mode}", config.name));
    }
    if !config.dns_search.is_empty() {
        let search = config.dns_search.join(",");
        args.push(format!("--dhcp-option=option6:domain-search,{search}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn args(pairs: &[(&str, &str)]) -> Vec<String> {
        let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let config = BridgeConfig::parse("scbr0", &map.collect()).unwrap();
        let account = Account { user: "nobody".to_owned(), group: "nogroup".to_owned(), gid: None };
        arguments(&config, &Files::new(Path::new("/state")), &account)
    }

    fn ranges(args: &[String]) -> Vec<&str> {
        args.iter().filter_map(|arg| arg.strip_prefix("--dhcp-range=")).collect()
    }

    #[test]
    fn instances_and_strangers_get_ranges_of_their_own() {
        let args = args(&[("ipv4.address", "10.1.2.1/24"), ("ipv6.address", "fd42::1/64")]);
        assert_eq!(
            ranges(&args),
            [
                "10.1.2.0,static,255.255.255.0,1h",
                "10.1.2.224,10.1.2.254,255.255.255.0,1h",
                "::,constructor:scbr0,ra-stateless",
            ]
        );
        assert!(args.contains(&"--dhcp-ignore-names".to_owned()));
    }

    #[test]
    fn stateful_dhcpv6_gives_addresses() {
        let args = args(&[("ipv6.address", "fd42::1/64"), ("ipv6.dhcp.stateful", "true")]);
        assert_eq!(ranges(&args), ["fd42::,static,64,1h", "fd42::1:0,fd42::1:fff,64,1h"]);
    }

    #[test]
    fn a_network_without_dns_has_no_port() {
        let args = args(&[("ipv4.address", "10.1.2.1/24"), ("dns.mode", "none")]);
        assert!(args.contains(&"--port=0".to_owned()));
        assert!(!args.iter().any(|arg| arg.starts_with("--hostsdir")));
    }
}
