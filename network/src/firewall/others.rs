//! The forward chains of others, and what a network adds to them.
//!
//! Docker (by way of iptables) and ufw set the policy of the chain `FORWARD` in the tables `ip filter` and
//! `ip6 filter` to "drop". That hits all that guests send beyond their bridge and, where bridged packets
//! pass the same chains, what they send each other. As long as the policy is that, two rules stand at the
//! chain's end, after every rule of others: what all of those leave to the policy is accepted if it comes
//! from the network or goes there. They bear the name of the network's table as their comment, by which
//! they are found again, and are such as iptables can read.
//!
//! That opens less than a policy "accept" would. Docker's containers rely on the policy for the ports that
//! they have not published: those stay closed, by a rule in the network's own table. Which bridges are
//! Docker's is read from its chains.

mod listing;

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use listing::{Chain, interfaces, listed, meta_key};

use super::{TABLES, chains, count_rules as count_own, requests, table_name};
use crate::BridgeConfig;

/// Whose tables are looked at: those that iptables and ip6tables write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ip,
    Ip6,
}

impl Family {
    /// The arguments that name iptables' table.
    pub fn filter_table(self) -> &'static [&'static str] {
        match self {
            Self::Ip => &["table", "ip", "filter"],
            Self::Ip6 => &["table", "ip6", "filter"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }

    /// Whether a network lets its packets of this family through.
    fn is_open(self, config: &BridgeConfig) -> bool {
        match self {
            Self::Ip => config.ipv4.is_some() && config.ipv4_firewall,
            Self::Ip6 => config.ipv6.is_some() && config.ipv6_firewall,
        }
    }
}

/// What a rule of ours looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    From,
    To,
    Unknown,
}

/// A rule of ours in a chain of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tagged {
    handle: u64,
    way: Way,
}

/// A chain `FORWARD` of iptables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forward {
    pub family: Family,
    /// Whether its policy is to drop.
    drops: bool,
    /// This network's rules in it.
    ours: Vec<Tagged>,
    /// Whether rules of others, which are no network's, stand behind them.
    followed: bool,
    /// The bridges that Docker's chains beside it are about.
    docker: BTreeSet<String>,
}

/// What is on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub forwards: Vec<Forward>,
    /// The tables of networks, other daemons' too.
    tables: BTreeSet<String>,
    /// How many rules the network's own table has.
    pub own: usize,
    /// How many rules its table for requests has, where that is there.
    pub requests: Option<usize>,
}

/// Which chains of others were opened, and which bridges stay closed to guests all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    opened: Vec<Family>,
    closed: BTreeSet<String>,
    /// How many rules the network's own table has.
    own: usize,
    /// How many rules its table for requests has, where it has one.
    requests: Option<usize>,
}

impl Standing {
    /// What a network needs on such a host, with rules for requests or without.
    pub fn of(config: &BridgeConfig, seen: &Seen, requests: bool) -> Self {
        let opened = dropping(config, seen).map(|forward| forward.family).collect();
        let closed = closed(config, seen);
        let requests = requests.then(|| count_own(&requests::chains(config)));
        Self { opened, closed, own: count_own(&chains(config, seen)), requests }
    }

    /// Whether what is seen is what a network needs, and what was put in when this standing was made.
    pub fn holds(&self, config: &BridgeConfig, seen: &Seen) -> bool {
        let wanted = Self::of(config, seen, self.requests.is_some());
        let right = |forward: &Forward| {
            let ways: Vec<Way> = forward.ours.iter().map(|rule| rule.way).collect();
            let wanted: &[Way] =
                if wanted.opened.contains(&forward.family) { &[Way::From, Way::To] } else { &[] };
            ways == wanted
        };
        // What others refuse by a rule is to be refused: theirs come first. (Networks of several daemons
        // would overtake each other for ever.)
        let is_last = |forward: &Forward| forward.ours.is_empty() || !forward.followed;
        let has_table =
            seen.has_table(&config.name) && (seen.own, seen.requests) == (self.own, self.requests);
        let forwards = &seen.forwards;
        has_table && wanted == *self && forwards.iter().all(right) && forwards.iter().all(is_last)
    }

    /// Tells once what was done.
    pub fn tell(&self, network: &str) {
        for family in &self.opened {
            let chain = format!("{} filter FORWARD", family.name());
            tracing::info!(
                network,
                chain,
                "others drop what is forwarded: two rules let guests through"
            );
        }
    }
}

/// The bridges of Docker's that guests are kept from.
fn closed(config: &BridgeConfig, seen: &Seen) -> BTreeSet<String> {
    dropping(config, seen).flat_map(|forward| forward.docker.clone()).collect()
}

/// The chains that would drop what the network lets through.
fn dropping<'a>(config: &'a BridgeConfig, seen: &'a Seen) -> impl Iterator<Item = &'a Forward> {
    seen.forwards.iter().filter(|forward| forward.drops && forward.family.is_open(config))
}

impl Seen {
    /// Whether a network's table is there.
    pub fn has_table(&self, network: &str) -> bool {
        self.tables.contains(&table_name(network))
    }

    /// Reads nft's list of all chains, which has no rules, for a network.
    pub fn of_chains(json: &str, network: &str) -> Self {
        let mut seen = Self::default();
        for Chain { family, table, name, policy } in listed(json).filter_map(|entry| entry.chain) {
            let forward = (table == "filter" && name == "FORWARD").then_some(family.as_str());
            match (forward, family.as_str()) {
                (Some("ip"), _) => seen.forward(Family::Ip, policy),
                (Some("ip6"), _) => seen.forward(Family::Ip6, policy),
                (_, "inet") => drop(seen.tables.insert(table)),
                (_, "bridge") if table == table_name(network) => seen.requests = Some(0),
                _ => {}
            }
        }
        seen
    }

    fn forward(&mut self, family: Family, policy: Option<String>) {
        let drops = policy.is_some_and(|policy| policy == "drop");
        let (ours, docker) = (Vec::new(), BTreeSet::new());
        self.forwards.push(Forward { family, drops, ours, followed: false, docker });
    }
}

impl Forward {
    /// Reads nft's list of the table that the chain is in.
    pub fn read_rules(&mut self, json: &str, network: &str) {
        let tag = table_name(network);
        for rule in listed(json).filter_map(|entry| entry.rule) {
            if rule.chain == "FORWARD" {
                let comment = rule.comment.as_deref().unwrap_or_default();
                if comment == tag {
                    self.ours.push(Tagged { handle: rule.handle, way: way(&rule.expr) });
                } else if !self.ours.is_empty() && !comment.starts_with(TABLES) {
                    self.followed = true;
                }
            }
            // What users write is in DOCKER-USER, and may be about any interface.
            if rule.chain.starts_with("DOCKER") && rule.chain != "DOCKER-USER" {
                self.docker.extend(interfaces(&rule.expr));
            }
        }
    }
}

/// Counts the rules in nft's list of a table.
pub(super) fn count_rules(json: &str) -> usize {
    listed(json).filter(|entry| entry.rule.is_some()).count()
}

fn way(expression: &Value) -> Way {
    match expression.get(0).map(meta_key) {
        Some("iifname") => Way::From,
        Some("oifname") => Way::To,
        _ => Way::Unknown,
    }
}

/// The commands that bring the chains of others to what the network needs.
pub(super) fn rules(config: &BridgeConfig, seen: &Seen) -> String {
    let (name, tag) = (&config.name, table_name(&config.name));
    let mut text = removal(seen);
    for forward in dropping(config, seen) {
        for way in ["iifname", "oifname"] {
            let family = forward.family.name();
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "add rule {family} filter FORWARD {way} \"{name}\" counter accept comment \"{tag}\""
            );
        }
    }
    text
}

/// The commands that take the network's rules out of the chains of others.
pub(super) fn removal(seen: &Seen) -> String {
    let mut text = String::new();
    for Forward { family, ours, .. } in &seen.forwards {
        for rule in ours {
            let family = family.name();
            let _ = writeln!(text, "delete rule {family} filter FORWARD handle {}", rule.handle);
        }
    }
    text
}

/// The rule, in the network's own table, that keeps Docker's bridges closed: to new connections, unless a
/// port was published (which is translation of its destination).
pub(super) fn kept_closed(config: &BridgeConfig, seen: &Seen) -> String {
    let name = &config.name;
    let closed = closed(config, seen);
    if closed.is_empty() {
        return String::new();
    }
    let closed: Vec<String> = closed.iter().map(|bridge| format!("\"{bridge}\"")).collect();
    let closed = closed.join(", ");
    format!("    iifname \"{name}\" oifname {{ {closed} }} ct state new ct status ! dnat drop\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAINS: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
        {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter",
            "hook": "forward", "prio": 0, "policy": "drop"}},
        {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER", "handle": 2}},
        {"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "handle": 1, "policy": "accept"}},
        {"chain": {"family": "inet", "table": "sc_inner", "name": "forward", "handle": 1}}]}"#;

    const RULES: &str = r#"{"nftables": [
        {"rule": {"chain": "FORWARD", "handle": 3, "expr": [{"jump": {"target": "DOCKER-USER"}}]}},
        {"rule": {"chain": "FORWARD", "handle": 5, "comment": "sc_inner", "expr": []}},
        {"rule": {"chain": "FORWARD", "handle": 7, "comment": "sc_scbr0", "expr":
            [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "scbr0"}}]}},
        {"rule": {"chain": "FORWARD", "handle": 8, "comment": "sc_scbr0", "expr":
            [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "scbr0"}}]}},
        {"rule": {"chain": "DOCKER-USER", "handle": 9, "expr":
            [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}}]}},
        {"rule": {"chain": "DOCKER-ISOLATION-STAGE-1", "handle": 10, "expr":
            [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "docker0"}},
             {"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "docker0"}},
             {"counter": {"packets": 0, "bytes": 0}}]}},
        {"rule": {"chain": "DOCKER-CT", "handle": 11, "expr":
            [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "br-\"; drop"}},
             {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "br-0a1b"}}]}},
        {"rule": {"chain": "DOCKER", "handle": 12, "expr":
            [{"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}},
             {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "docker0"}}]}}]}"#;

    fn config(pairs: &[(&str, &str)]) -> BridgeConfig {
        let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        BridgeConfig::parse("scbr0", &map.collect()).unwrap()
    }

    fn both() -> BridgeConfig {
        config(&[("ipv4.address", "10.1.2.1/24"), ("ipv6.address", "fd42::1/64")])
    }

    #[test]
    fn a_policy_of_drop_is_opened_for_the_network_in_that_family_alone() {
        let text = rules(&both(), &Seen::of_chains(CHAINS, "scbr0"));
        let expected = "\
add rule ip filter FORWARD iifname \"scbr0\" counter accept comment \"sc_scbr0\"
add rule ip filter FORWARD oifname \"scbr0\" counter accept comment \"sc_scbr0\"
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_network_without_a_firewall_opens_nothing() {
        let off = config(&[("ipv4.address", "10.1.2.1/24"), ("ipv4.firewall", "false")]);
        let seen = Seen::of_chains(CHAINS, "scbr0");
        assert_eq!((rules(&off, &seen), kept_closed(&off, &seen)), Default::default());
    }

    fn with_rules() -> Seen {
        let mut seen = Seen::of_chains(CHAINS, "scbr0");
        seen.forwards[0].read_rules(RULES, "scbr0");
        seen
    }

    #[test]
    fn the_bridges_of_docker_stay_closed_and_no_other_that_a_rule_speaks_of() {
        let expected = "iifname \"scbr0\" oifname { \"br-0a1b\", \"docker0\" } ct state new ct status ! dnat drop";
        assert_eq!(kept_closed(&both(), &with_rules()).trim(), expected);
        let mut open = with_rules();
        open.forwards[0].drops = false;
        assert_eq!(kept_closed(&both(), &open), "", "where nobody drops, nothing is closed");
    }

    #[test]
    fn rules_are_found_again_by_their_comment_and_taken_out_by_their_handle() {
        let seen = with_rules();
        let taken =
            "delete rule ip filter FORWARD handle 7\ndelete rule ip filter FORWARD handle 8\n";
        assert_eq!(removal(&seen), taken);
        assert!(rules(&both(), &seen).starts_with(taken), "never twice");
    }

    #[test]
    fn what_stands_holds_until_a_rule_the_table_or_the_policy_goes() {
        let mut seen = with_rules();
        let standing = Standing::of(&both(), &seen, true);
        (seen.own, seen.requests) = (standing.own, Some(1));
        assert!(!standing.holds(&both(), &seen), "no table");
        seen.tables.insert("sc_scbr0".into());
        assert!(standing.holds(&both(), &seen));
        for requests in [None, Some(0)] {
            seen.requests = requests;
            assert!(!standing.holds(&both(), &seen), "its table for requests: {requests:?}");
        }
        seen.requests = standing.requests;
        seen.own = 0;
        assert!(!standing.holds(&both(), &seen), "its own table was flushed");
        seen.own = standing.own;
        seen.forwards[0].drops = false;
        assert!(!standing.holds(&both(), &seen), "rules that nothing needs any more");
        seen.forwards[0].drops = true;
        seen.forwards[0].docker.insert("br-2c3d".into());
        assert!(!standing.holds(&both(), &seen), "a bridge of Docker's that is not closed");
        seen.forwards[0].docker.remove("br-2c3d");
        seen.forwards[0].ours.pop();
        assert!(!standing.holds(&both(), &seen), "one is gone");
    }

    #[test]
    fn what_nft_cannot_say_is_nothing() {
        assert_eq!(Seen::of_chains("Error: no JSON here", "scbr0"), Seen::default());
    }
}
