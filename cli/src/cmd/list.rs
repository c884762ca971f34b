//! `sc list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use sc_api::{Instance, InstanceParts};
use sc_client::Detail;

use super::list_columns::{self, Chosen};
use super::list_filter::Filter;
use crate::columns;
use crate::context::Context;
use crate::output::{self, Format};
use crate::verb::{DONE, Verb};

/// What `--fast` shows: nothing of it needs the instances' state.
const FAST: &str = "nsacPt";

/// `sc list`.
#[derive(Debug, Args)]
pub struct List {
    /// Show those only: beginnings of names, names with * and ?, or KEY=VALUE
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// The columns
    #[arg(short, long, value_name = "COLUMNS", default_value = "ns46tS")]
    columns: String,
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
    /// Show columns that cost nothing: nsacPt
    #[arg(long, conflicts_with = "columns")]
    fast: bool,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List instances";
    const ALIASES: &'static [&'static str] = &["ls"];

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(
            columns::help(list_columns::COLUMNS)
                + "\nWith commas between columns one may be KEY[:TITLE], a configuration key such \
                   as n,user.owner:OWNER.\n\
                   Filters by KEY=VALUE know name, status, type, architecture, description, \
                   ephemeral, and configuration keys.",
        )
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        let letters = if self.fast { FAST } else { &self.columns };
        let chosen = list_columns::choose(letters)?;
        let mut filters = Vec::new();
        for word in &self.filters {
            filters.extend(filter(&context, word)?);
        }
        let detail = detail(self.format, &chosen, !filters.is_empty());
        let mut instances = context.client.instances(detail).await?;
        instances.retain(|instance| filters.iter().all(|filter| filter.accepts(instance)));
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        let titles: Vec<&str> = chosen.iter().map(Chosen::title).collect();
        output::list(self.format, &instances, &titles, || rows(&chosen, &instances))?;
        DONE
    }
}

/// The filter that a word is; none for the daemon's own name, as `local:`.
fn filter(context: &Context, word: &str) -> Result<Option<Filter>> {
    if word.ends_with(':') && !word.contains('=') {
        context.remotes.server(word)?;
        return Ok(None);
    }
    let name = if word.contains('=') { word.to_owned() } else { context.remotes.object(word)? };
    Filter::parse(&name).map(Some)
}

/// How much is asked for: what is shown, and what filters look at.
fn detail(format: Format, chosen: &[Chosen], filtered: bool) -> Detail {
    if matches!(format, Format::Json | Format::Yaml) {
        return Detail::State;
    }
    let of_filters = InstanceParts { config: filtered, ..InstanceParts::default() };
    Detail::Parts(chosen.iter().map(Chosen::needs).fold(of_filters, InstanceParts::and))
}

fn rows(chosen: &[Chosen], instances: &[Instance]) -> Vec<Vec<String>> {
    instances
        .iter()
        .map(|instance| chosen.iter().map(|column| column.value(instance)).collect())
        .collect()
}
