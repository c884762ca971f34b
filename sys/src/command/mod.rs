//! Programs started from here: run to their end with [`Runner`], or started and left with [`Spawn`].

mod child;
mod error;
mod pump;
mod runner;
mod spawn;

pub use error::{CommandError, Failure};
pub use runner::{Output, Runner, Stream};
pub use spawn::Spawn;
