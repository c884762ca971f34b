//! A run of ids on the host.

use std::fmt;

/// How many ids a guest gets: those that 16-bit programs and `nobody` (65534) need.
pub const RANGE_SIZE: u32 = 65_536;

/// A run of host ids; never empty, never past the last id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdRange {
    start: u32,
    count: u32,
}

impl IdRange {
    /// Makes a range; `None` when it is empty or holds the invalid id 4294967295.
    pub const fn new(start: u32, count: u32) -> Option<Self> {
        if count == 0 || count > u32::MAX - start {
            return None;
        }
        Some(Self { start, count })
    }

    /// Returns the first id.
    pub const fn start(self) -> u32 {
        self.start
    }

    /// Returns how many ids there are.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Returns the id after the last one.
    pub const fn end(self) -> u32 {
        self.start + self.count
    }

    /// Whether the id lies in the range.
    pub const fn contains(self, id: u32) -> bool {
        id >= self.start && id < self.end()
    }

    /// Whether the two share an id.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_range() -> impl Strategy<Value = IdRange> {
        (0..u32::MAX - 1).prop_flat_map(|start| {
            (1..=u32::MAX - 1 - start)
                .prop_map(move |count| IdRange::new(start, count).expect("in bounds"))
        })
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_agrees_with_the_ends(a in any_range(), b in any_range()) {
            prop_assert_eq!(a.overlaps(b), b.overlaps(a));
            let shared = a.contains(b.start()) || b.contains(a.start());
            prop_assert_eq!(a.overlaps(b), shared);
        }
    }

    #[test]
    fn ranges_stop_before_the_invalid_id() {
        assert!(IdRange::new(0, 0).is_none());
        assert!(IdRange::new(u32::MAX - 1, 1).is_some());
        assert!(IdRange::new(u32::MAX - 1, 2).is_none());
        assert!(IdRange::new(u32::MAX, 1).is_none());
    }
}
