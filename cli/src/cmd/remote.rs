//! `sc remote`.

use anyhow::Result;
use serde::Serialize;

use super::objects::list::{List, Listed};
use crate::columns::Column;
use crate::context::{self, Context};
use crate::remote::{ALL, Protocol};
use crate::verb::{Entry, Group};

/// The group.
pub struct Remote;

impl Group for Remote {
    const NAME: &'static str = "remote";
    const ABOUT: &'static str = "Show remotes";
    const VERBS: &'static [Entry] = &[Entry::verb::<List<Row>>()];
}

/// A remote as it is listed.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    url: String,
    protocol: &'static str,
    default: bool,
}

impl Listed for Row {
    const ABOUT: &'static str = "List remotes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'n', title: "NAME", about: "", value: |r| r.name.to_owned() },
        Column { letter: 'u', title: "URL", about: "", value: |r| r.url.clone() },
        Column { letter: 'p', title: "PROTOCOL", about: "", value: |r| r.protocol.to_owned() },
        Column { letter: 'd', title: "DEFAULT", about: "", value: default },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        let remotes = ALL.iter().map(|remote| Self {
            name: remote.name,
            url: match remote.protocol {
                Protocol::Api => format!("{}{}", remote.url, context::socket().display()),
                Protocol::Packages => remote.url.to_owned(),
            },
            protocol: remote.protocol.name(),
            default: remote.name == context.remotes.default.name,
        });
        Ok(remotes.collect())
    }
}

fn default(row: &Row) -> String {
    if row.default { "YES" } else { "NO" }.to_owned()
}
