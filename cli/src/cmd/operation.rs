//! `sc operation`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use sc_api::{Operation as ApiOperation, OperationClass};

use super::list_columns::moment;
use super::objects::list::{List, Listed};
use crate::columns::Column;
use crate::context::Context;
use crate::output;
use crate::several::for_each;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Operation;

impl Group for Operation {
    const NAME: &'static str = "operation";
    const ABOUT: &'static str = "Show and cancel operations";
    const VERBS: &'static [Entry] =
        &[Entry::verb::<List<ApiOperation>>(), Entry::verb::<Show>(), Entry::verb::<Delete>()];
}

impl Listed for ApiOperation {
    const ABOUT: &'static str = "List operations";
    const COLUMNS: &'static [Column<Self>] = &[
        Column { letter: 'i', title: "ID", about: "", value: |o| o.id.clone() },
        Column { letter: 't', title: "TYPE", about: "", value: class },
        Column { letter: 'd', title: "DESCRIPTION", about: "", value: |o| o.description.clone() },
        Column { letter: 's', title: "STATE", about: "", value: |o| o.status.to_uppercase() },
        Column { letter: 'c', title: "CANCELABLE", about: "", value: cancelable },
        Column { letter: 'C', title: "CREATED", about: "", value: |o| moment(o.created_at) },
    ];

    async fn all(context: &Context) -> Result<Vec<Self>> {
        Ok(context.client.operations().await?)
    }
}

fn class(operation: &ApiOperation) -> String {
    match operation.class {
        OperationClass::Task => "TASK",
        OperationClass::Websocket => "WEBSOCKET",
        OperationClass::Token => "TOKEN",
    }
    .to_owned()
}

fn cancelable(operation: &ApiOperation) -> String {
    if operation.may_cancel { "YES" } else { "NO" }.to_owned()
}

/// `sc operation show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The operation
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

impl Verb for Show {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = "Show an operation";

    async fn run(self, context: Context) -> Result<ExitCode> {
        output::yaml(&context.client.operation(&self.id).await?)?;
        DONE
    }
}

/// `sc operation delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The operations
    #[arg(
        value_name = "ID",
        required = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    ids: Vec<String>,
}

impl Verb for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Cancel operations";
    const ALIASES: &'static [&'static str] = &["cancel", "rm"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        for_each(&context, &self.ids, async |id| Ok(context.client.cancel(id).await?)).await
    }
}
