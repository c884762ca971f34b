//! Numbers in arguments.

use std::str::FromStr;

/// Parses the number of a user or a group, for clap.
pub fn id(text: &str) -> Result<u32, String> {
    parse(text, "it must be a number, as `id` shows it inside: 0 or more")
}

/// Parses a number of seconds, for clap.
pub fn seconds(text: &str) -> Result<u64, String> {
    parse(text, "it must be a whole number of seconds")
}

fn parse<T: FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|_| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_told_what_is_expected() {
        assert_eq!(id("4294967295"), Ok(u32::MAX));
        assert_eq!(seconds("0"), Ok(0));
        for bad in ["", "foo", "-1", "4294967296"] {
            assert!(id(bad).unwrap_err().contains("`id`"), "{bad}");
        }
        assert!(seconds("1.5").unwrap_err().contains("seconds"));
    }
}
