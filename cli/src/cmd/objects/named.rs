//! Arguments that name objects.

use std::marker::PhantomData;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use sc_client::Client;

use super::change::Changeable;
use crate::complete;

/// A kind of object that is named in arguments.
pub trait Named {
    /// What stands for a name in the usage, such as `POOL`.
    const VALUE_NAME: &'static str;
    /// The help of an argument that names one.
    const ONE: &'static str;
    /// The help of an argument that names several.
    const SEVERAL: &'static str;

    /// Completes its names.
    fn names() -> ArgValueCompleter;
}

/// The argument that names one object.
#[derive(Args)]
pub struct One<T: Named> {
    /// Its name.
    #[arg(value_name = T::VALUE_NAME, help = T::ONE, add = T::names())]
    pub name: String,
    #[arg(skip)]
    kind: PhantomData<T>,
}

/// What the object has that is named at this place of the command line that is completed.
pub async fn named<T: Changeable>(client: &Client, place: usize) -> sc_client::Result<T::Form> {
    Ok(T::read(client, &name_at(place)).await?.value)
}

/// The daemon's own name of what is named at this place of the command line that is completed.
pub fn name_at(place: usize) -> String {
    let name = complete::word(place).unwrap_or_default();
    name.strip_prefix("local:").unwrap_or(&name).to_owned()
}
