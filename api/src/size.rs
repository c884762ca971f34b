//! Sizes with units, as LXD's configuration writes them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a size was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size {}: {reason}", crate::quoted(text))]
pub struct SizeError {
    text: String,
    reason: &'static str,
}

impl SizeError {
    /// What is wrong, for a sentence that has named the text already.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Units, the larger first within a family so that rendering finds the largest that divides.
const UNITS: [(&str, u64); 14] = [
    ("EiB", 1 << 60),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("EB", 1_000_000_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("bytes", 1),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let refuse = |reason| SizeError { text: text.to_owned(), reason };
        let trimmed = text.trim();
        let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = trimmed.split_at(digits);
        if number.is_empty() {
            return Err(refuse("it must begin with a whole number"));
        }
        let number: u64 = number.parse().map_err(|_| refuse("the number is too large"))?;
        let unit = unit.trim();
        let factor = match unit {
            "" => 1,
            unit => UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| *factor)
                .ok_or_else(|| {
                    refuse("use a whole number with one of B, kB, MB, GB, TB, PB, EB, KiB, MiB, GiB, TiB, PiB, EiB")
                })?,
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| refuse("it does not fit 64 bits"))
    }
}

impl fmt::Display for ByteSize {
    /// Writes two decimals in the largest binary unit, as LXD's client shows sizes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..6].iter().find(|(_, factor)| self.0 >= *factor) {
            Some((unit, factor)) => write!(f, "{:.2}{unit}", self.0 as f64 / *factor as f64),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        let cases =
            [("0", 0), ("512", 512), ("1kB", 1000), ("64MiB", 64 << 20), ("2 GB", 2_000_000_000)];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MiB", "-1", "1.5GiB", "1XB", "99999999999999999999", "20EiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        assert_eq!(ByteSize(512).to_string(), "512B");
        assert_eq!(ByteSize(64 << 20).to_string(), "64.00MiB");
    }
}
