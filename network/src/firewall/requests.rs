//! Guests' requests for an address, which go to the network's own server and to no other guest.
//!
//! A request is sent to everybody. Each guest that has a client running would be woken by every other's: beyond some
//! hundred guests on a bridge, a machine would do nothing else. So they are not forwarded from the port of one guest
//! to another's, where the network answers them itself. The rules stand in a table of their own, as bridged packets
//! pass no other; they know the ports by their [group](crate::port_group), since not every kernel tells a bridge's
//! name there. A kernel that filters no bridged packets at all does without.

use std::fmt::Write;

use super::{chain, table_name};
use crate::{BridgeConfig, port_group};

const HOOK: &str = "type filter hook forward priority filter; policy accept;";

/// Whether a network gives addresses itself, and has a firewall.
pub(super) fn are_answered(config: &BridgeConfig) -> bool {
    !rules(config).is_empty()
}

fn rules(config: &BridgeConfig) -> String {
    let group = port_group(&config.name);
    let served = [
        (config.ipv4.is_some() && config.ipv4_dhcp && config.ipv4_firewall, "ip", 67),
        (config.ipv6.is_some() && config.gives_ipv6() && config.ipv6_firewall, "ip6", 547),
    ];
    let mut rules = String::new();
    for (_, family, port) in served.into_iter().filter(|(served, ..)| *served) {
        // Writing to a string cannot fail.
        let _ =
            writeln!(rules, "    iifgroup {group} meta protocol {family} udp dport {port} drop");
    }
    rules
}

/// The commands that put the network's table in, and an old one away.
pub(super) fn table(config: &BridgeConfig) -> String {
    let table = table_name(&config.name);
    format!("{}table bridge {table} {{\n{}}}\n", removal(&config.name), chains(config))
}

/// The chains of the network's table.
pub(super) fn chains(config: &BridgeConfig) -> String {
    chain("forward", HOOK, &rules(config))
}

/// The commands that take a network's table away.
pub(super) fn removal(network: &str) -> String {
    let table = table_name(network);
    format!("add table bridge {table}\ndelete table bridge {table}\n")
}
