//! `list`: all objects of a kind.

use std::marker::PhantomData;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::columns::{self, Column};
use crate::context::Context;
use crate::output::Format;
use crate::verb::{DONE, Verb};

/// A kind of object that is listed whole, in fixed columns.
pub trait Listed: Serialize + Sized + 'static {
    /// What the verb does.
    const ABOUT: &'static str;
    /// The columns.
    const COLUMNS: &'static [Column<Self>];

    /// All objects, in the order of the list.
    async fn all(context: &Context) -> Result<Vec<Self>>;
}

/// `list`.
#[derive(Args)]
pub struct List<T: Listed> {
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
    #[arg(skip)]
    kind: PhantomData<T>,
}

impl<T: Listed> Verb for List<T> {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = T::ABOUT;
    const ALIASES: &'static [&'static str] = &["ls"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        let objects = T::all(&context).await?;
        columns::print(self.format, &columns::all(T::COLUMNS), &objects)?;
        DONE
    }
}
