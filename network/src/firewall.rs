//! The nftables table of a network.
//!
//! Each network has a table of its own, `inet sc_<name>`, that is written as a text when the
//! network changes and put in whole: the old one goes in the same transaction. Nothing of it depends
//! on instances, so none of it is touched when one starts.
//!
//! The table accepts what the network itself needs. An accept here cannot undo what a table of
//! someone else drops, so [`others`] adds what it takes there; [`requests`] is what stands at the bridge
//! itself; and the [`Keeper`] sees to it that tables and rules stay whatever others do.

mod changes;
mod keeper;
mod others;
mod requests;

use std::fmt::Write;

use crate::command::Program;
use crate::{BridgeConfig, Context, NetworkError, Result};

pub(crate) use keeper::Keeper;
use others::{Seen, Standing};

/// How often a transaction is tried that another program's came in between of.
const MOST_TRIES: u32 = 3;

/// What the names of networks' tables begin with.
const TABLES: &str = "sc_";

/// The name of a network's table, in the family `inet`.
pub fn table_name(network: &str) -> String {
    format!("{TABLES}{network}")
}

/// The transaction that puts a network's table in place of an old one, on a host without other rules.
pub fn ruleset(config: &BridgeConfig) -> String {
    transaction(config, &Seen::default(), requests::are_answered(config))
}

/// `requests` says whether those for addresses are kept from guests.
fn transaction(config: &BridgeConfig, seen: &Seen, requests: bool) -> String {
    let table = table_name(&config.name);
    let (chains, rules) = (chains(config, seen), others::rules(config, seen));
    let beside = match (requests, seen.requests) {
        (true, _) => requests::table(config),
        (false, Some(_)) => requests::removal(&config.name),
        (false, None) => String::new(),
    };
    format!("{}table inet {table} {{\n{chains}}}\n{beside}{rules}", removal(&config.name))
}

/// The chains of a network's own table.
fn chains(config: &BridgeConfig, seen: &Seen) -> String {
    [
        prerouting(config),
        input(config),
        forward(config),
        chain("beside", FORWARD_HOOK, &others::kept_closed(config, seen)),
        nat(config),
    ]
    .concat()
}

/// How many rules there are in chains: a line each, as each chain's hook is.
fn count_rules(chains: &str) -> usize {
    let lines = |indent: &str| chains.lines().filter(|line| line.starts_with(indent)).count();
    lines("    ") - lines("  chain ")
}

/// The transaction that removes a network's table. To add it first is what makes deleting succeed
/// where there is none.
fn removal(network: &str) -> String {
    let table = table_name(network);
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// Guests speak for themselves: what claims to come from where the way back does not lead through the
/// bridge is dropped, unless it answers (a guest with two networks may answer through the other).
fn prerouting(config: &BridgeConfig) -> String {
    let name = &config.name;
    let mut rules = String::new();
    for (wanted, who) in [
        (config.ipv4_firewall, "ip saddr != 0.0.0.0"),
        (config.ipv6_firewall, "ip6 saddr != { ::, fe80::/10 }"),
    ] {
        if wanted {
            let _ = writeln!(
                rules,
                "    iifname \"{name}\" {who} ct state != {{ established, related }} fib saddr . iif oif missing drop"
            );
        }
    }
    chain("prerouting", "type filter hook prerouting priority filter; policy accept;", &rules)
}

fn input(config: &BridgeConfig) -> String {
    let name = &config.name;
    let mut rules = String::new();
    if config.ipv4.is_some() && config.ipv4_firewall {
        let _ = writeln!(
            rules,
            "    iifname \"{name}\" meta nfproto ipv4 udp dport {{ 53, 67 }} accept"
        );
        let _ = writeln!(rules, "    iifname \"{name}\" meta nfproto ipv4 tcp dport 53 accept");
        let _ = writeln!(
            rules,
            "    iifname \"{name}\" icmp type {{ echo-request, destination-unreachable, time-exceeded, parameter-problem }} accept"
        );
    }
    if config.ipv6.is_some() && config.ipv6_firewall {
        let _ = writeln!(
            rules,
            "    iifname \"{name}\" meta nfproto ipv6 udp dport {{ 53, 547 }} accept"
        );
        let _ = writeln!(rules, "    iifname \"{name}\" meta nfproto ipv6 tcp dport 53 accept");
        let _ = writeln!(
            rules,
            "    iifname \"{name}\" icmpv6 type {{ echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report }} accept"
        );
    }
    chain("input", "type filter hook input priority filter; policy accept;", &rules)
}

fn forward(config: &BridgeConfig) -> String {
    let name = &config.name;
    let mut rules = String::new();
    for (there, family) in [
        (config.ipv4.is_some() && config.ipv4_firewall, "ipv4"),
        (config.ipv6.is_some() && config.ipv6_firewall, "ipv6"),
    ] {
        if there {
            let _ = writeln!(rules, "    iifname \"{name}\" meta nfproto {family} accept");
            let _ = writeln!(rules, "    oifname \"{name}\" meta nfproto {family} accept");
        }
    }
    chain("forward", FORWARD_HOOK, &rules)
}

fn nat(config: &BridgeConfig) -> String {
    let mut rules = String::new();
    if let Some(net) = config.ipv4.filter(|_| config.ipv4_nat) {
        let net = net.trunc();
        let _ = writeln!(rules, "    ip saddr {net} ip daddr != {net} masquerade");
    }
    if let Some(net) = config.ipv6.filter(|_| config.ipv6_nat) {
        let net = net.trunc();
        let _ = writeln!(rules, "    ip6 saddr {net} ip6 daddr != {net} masquerade");
    }
    chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;", &rules)
}

const FORWARD_HOOK: &str = "type filter hook forward priority filter; policy accept;";

/// A chain; none at all where it would have no rules.
fn chain(name: &str, hook: &str, rules: &str) -> String {
    if rules.is_empty() {
        return String::new();
    }
    format!("  chain {name} {{\n    {hook}\n{rules}  }}\n")
}

/// Puts a network's table in, and its rules among those of others.
async fn apply(config: &BridgeConfig, context: &Context) -> Result<Standing> {
    let name = &config.name;
    let mut tries = 0;
    let mut requests = requests::are_answered(config);
    loop {
        tries += 1;
        let seen = look(name, context).await?;
        if !requests {
            forget_requests(name, seen.is_some(), context).await;
        }
        let seen = seen.unwrap_or_default();
        let text = transaction(config, &seen, requests);
        match run(name, context, &["-f", "-"], &text).await {
            Ok(_) => return Ok(Standing::of(config, &seen, requests)),
            Err(error) if tries == MOST_TRIES && requests => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(network = name, error, "rules without those for bridged packets");
                (tries, requests) = (0, false);
            }
            // A chain of others that was seen may be gone by now.
            Err(error) if tries == MOST_TRIES => return Err(error),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(network = name, error, "the rules have changed meanwhile");
            }
        }
    }
}

/// Takes a network's table away, and its rules among those of others; what is not there is no error.
pub(crate) async fn remove(network: &str, context: &Context) -> Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        let seen = look(network, context).await?;
        forget_requests(network, seen.is_some(), context).await;
        let seen = seen.unwrap_or_default();
        let requests = seen.requests.map(|_| requests::removal(network)).unwrap_or_default();
        let text = removal(network) + &requests + &others::removal(&seen);
        match run(network, context, &["-f", "-"], &text).await {
            Ok(_) => return Ok(()),
            Err(error) if tries == MOST_TRIES => return Err(error),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(network, error, "the rules have changed meanwhile");
            }
        }
    }
}

/// Takes the table for requests away where it cannot be looked for. A kernel that has no such tables refuses.
async fn forget_requests(network: &str, is_seen: bool, context: &Context) {
    if is_seen {
        return;
    }
    if let Err(error) = run(network, context, &["-f", "-"], &requests::removal(network)).await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(network, error, "no table for requests is taken away");
    }
}

/// Looks at the rules of this host; `None` where they cannot be read.
async fn look(network: &str, context: &Context) -> Result<Option<Seen>> {
    let list = |what: Vec<String>| async move {
        let args = ["-j", "list"].map(str::to_owned).into_iter().chain(what);
        nft(context, network).run(&args.collect::<Vec<_>>(), "").await
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let seen = async {
        let mut seen = Seen::of_chains(&list(words(&["chains"])).await?, network);
        for forward in &mut seen.forwards {
            let rules = list(words(forward.family.filter_table())).await?;
            forward.read_rules(&rules, network);
        }
        if seen.has_table(network) {
            let table = table_name(network);
            seen.own = others::count_rules(&list(words(&["table", "inet", &table])).await?);
        }
        if seen.requests.is_some() {
            let rules = list(words(&["table", "bridge", &table_name(network)])).await?;
            seen.requests = Some(others::count_rules(&rules));
        }
        Ok(seen)
    };
    match seen.await {
        Err(error @ NetworkError::Program { .. }) => {
            tracing::debug!(network, %error, "the firewall rules of others cannot be read");
            Ok(None)
        }
        other => other.map(Some),
    }
}

async fn run(network: &str, context: &Context, args: &[&str], input: &str) -> Result<String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    nft(context, network).run(&args, input).await
}

fn nft<'a>(context: &'a Context, network: &'a str) -> Program<'a> {
    Program {
        path: &context.nft,
        package: "nftables",
        network,
        purpose: "its firewall table and NAT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BridgeConfig {
        let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        BridgeConfig::parse("br-x.1", &map.collect()).unwrap()
    }

    #[test]
    fn the_old_table_goes_in_the_transaction_that_brings_the_new_one() {
        let text = ruleset(&config(&[("ipv4.address", "10.1.2.1/24"), ("ipv4.nat", "true")]));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["add table inet sc_br-x.1", "delete table inet sc_br-x.1", "table inet sc_br-x.1 {",]
        );
        assert!(text.contains("ip saddr 10.1.2.0/24 ip daddr != 10.1.2.0/24 masquerade"));
        assert!(!text.contains("icmpv6"));
    }

    #[test]
    fn what_is_turned_off_leaves_no_rule() {
        let off = [
            ("ipv4.address", "10.1.2.1/24"),
            ("ipv4.firewall", "false"),
            ("ipv6.address", "fd42::1/64"),
            ("ipv6.firewall", "false"),
        ];
        assert!(!ruleset(&config(&off)).contains("chain"));
    }
}
