//! Lists of processors: "0-3,7".

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use crate::error::{Result, SysError};

/// More than any kernel is built for.
const MOST_CPUS: u32 = 8192;

/// A set of processors, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuList(BTreeSet<u32>);

impl CpuList {
    /// Parses a list such as "0-3,7"; the empty text is the empty list.
    ///
    /// # Errors
    ///
    /// Invalid when it is no list.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            let kind = io::ErrorKind::InvalidInput;
            SysError::message("parse processors", text.trim(), kind, "not a list such as 0-3,7")
        };
        let mut list = BTreeSet::new();
        for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n < MOST_CPUS);
            let (first, last) =
                (number(first).ok_or_else(invalid)?, number(last).ok_or_else(invalid)?);
            if first > last {
                return Err(invalid());
            }
            list.extend(first..=last);
        }
        Ok(Self(list))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a processor is among them.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// Returns them in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Returns those of either.
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// Returns those of this list that are not in the other.
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// Chooses `count` of these processors for a new holder: those that the fewest of the others hold, the
    /// lowest first. All, when there are no more than that.
    pub fn least_used<'a>(
        &self,
        count: usize,
        others: impl IntoIterator<Item = &'a CpuList>,
    ) -> Self {
        let mut uses: Vec<(usize, u32)> = self.iter().map(|cpu| (0, cpu)).collect();
        for other in others {
            for (used, cpu) in &mut uses {
                *used += usize::from(other.contains(*cpu));
            }
        }
        uses.sort_unstable();
        uses.into_iter().take(count).map(|(_, cpu)| cpu).collect()
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while rest.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(cpus in proptest::collection::btree_set(0..200_u32, 0..40)) {
            let list: CpuList = cpus.into_iter().collect();
            prop_assert_eq!(CpuList::parse(&list.to_string()).unwrap(), list);
        }

        #[test]
        fn any_text_parses_or_is_refused(text in "[0-9,\\- a]{0,20}") {
            let _ = CpuList::parse(&text);
        }
    }

    #[test]
    fn runs_are_written_short() {
        assert_eq!(CpuList::parse("3,0,1,2,7\n").unwrap().to_string(), "0-3,7");
        assert!(CpuList::parse("3-1").is_err());
        assert!(CpuList::parse("1,,2").is_err());
        assert!(CpuList::parse("0-4294967295").is_err());
        assert!(CpuList::parse("").unwrap().is_empty());
    }

    #[test]
    fn the_least_used_are_chosen() {
        let all = CpuList::parse("0-3").unwrap();
        let others = [CpuList::parse("0-1").unwrap(), CpuList::parse("1-2").unwrap()];
        assert_eq!(all.least_used(2, &others).to_string(), "0,3");
        assert_eq!(all.least_used(9, &others), all);
    }
}
