//! Arguments that name objects.

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
