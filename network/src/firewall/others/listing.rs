//! nft's lists (libnftables-json(5)), as far as they are read.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) chain: Option<Chain>,
    pub(super) rule: Option<Rule>,
}

#[derive(Deserialize)]
pub(super) struct Chain {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) policy: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Rule {
    pub(super) chain: String,
    pub(super) handle: u64,
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) expr: Value,
}

pub(super) fn listed(json: &str) -> impl Iterator<Item = Entry> {
    let listing = serde_json::from_str::<Listing>(json);
    listing.map(|listing| listing.nftables).unwrap_or_default().into_iter()
}

pub(super) fn meta_key(statement: &Value) -> &str {
    statement.pointer("/match/left/meta/key").and_then(Value::as_str).unwrap_or_default()
}

/// The interfaces that a rule is about. One that it excludes may be anybody's.
pub(super) fn interfaces(expression: &Value) -> impl Iterator<Item = String> {
    let statements = expression.as_array().into_iter().flatten();
    let is_equal = |one: &Value| one.pointer("/match/op").is_some_and(|op| op == "==");
    let matches = statements
        .filter(move |one| matches!(meta_key(one), "iifname" | "oifname") && is_equal(one));
    let names = matches.filter_map(|one| one.pointer("/match/right")?.as_str());
    names.filter(|name| is_plain(name)).map(str::to_owned)
}

/// Whether it can stand in a rule's text as it is.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
