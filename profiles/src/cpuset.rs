//! Sets of processors.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sc_api::quoted;

/// The highest processor number that any kernel can be built for.
const HIGHEST: u32 = 8_191;

/// Processors by number, as the kernel writes sets: `0-3,6`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet(BTreeSet<u32>);

impl CpuSet {
    /// The processors' numbers, ascending, each once.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for CpuSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range {part} runs backwards"));
            }
            set.extend(first..=last);
        }
        Ok(Self(set))
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(number @ 0..=HIGHEST) => Ok(number),
        _ if text.trim().is_empty() => Err("use a set such as 0-3,6".into()),
        _ => Err(format!("{} is no processor's number; use a set such as 0-3,6", quoted(text))),
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for cpu in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => runs.push((cpu, cpu)),
            }
        }
        for (at, (first, last)) in runs.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_written_as_the_kernel_writes_them() {
        for (text, written) in [("0-3,6", "0-3,6"), ("6,0,1,1", "0-1,6"), ("5-5", "5")] {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(numbers in proptest::collection::btree_set(0..300u32, 1..40)) {
            let set = CpuSet(numbers);
            prop_assert_eq!(set.to_string().parse::<CpuSet>(), Ok(set));
        }
    }
}
