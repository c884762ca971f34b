//! The managers: each looks after one kind of object besides instances, joining its records in
//! the store with what stands outside.

mod aliases;
mod asked;
mod images;
mod layers;
mod networks;
mod pool;
mod pools;
mod profiles;
mod references;
mod root;
mod roster;

pub use asked::AskedImage;
pub use images::{Images, Incoming};
pub use networks::Networks;
pub use pool::Pool;
pub use pools::{DEFAULT_POOL, Pools};
pub use profiles::{Changing, Profiles};
pub use references::{Claim, Held, References};
pub use root::{Root, RootSource, check_source};
