//! Id ranges of guests: what they are, how they are written, which ones are free.
//!
//! ```text
//! Allocator::claim(owner) ─> IdRange ─> UserNamespace::create(range)
//! ```
//!
//! On disk nothing is shifted: a range exists only for the length of a run.

mod allocator;
mod claims;
mod map;
mod range;
mod subid;

pub use allocator::{Allocator, Claim, Owner, WINDOW};
pub use map::write_id_maps;
pub use range::{IdRange, RANGE_SIZE};
pub use subid::{SubidEntry, SubidFile, ranges_in_use};
