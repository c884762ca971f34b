//! Arguments that name objects.

use std::marker::PhantomData;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

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
