//! YAML that people write.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sc_api::{ConfigMap, DeviceMap};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

/// Whether a text says nothing: blank lines, comments and the marks of a document's begin and end.
pub fn is_empty(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| {
        line.is_empty() || line.starts_with('#') || matches!(line, "---" | "..." | "null" | "~")
    })
}

/// Reads a text; the error says in a line what is wrong, and where.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let text = error.without_snippet().render_with_formatter(&Plain);
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// Reads devices. A key that is `null` is not set.
pub fn devices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeviceMap, D::Error> {
    type Device = BTreeMap<String, Option<String>>;
    let read: Option<BTreeMap<String, Option<Device>>> = Option::deserialize(deserializer)?;
    let set = |device: Option<Device>| -> ConfigMap {
        let keys = device.unwrap_or_default().into_iter();
        keys.filter_map(|(key, value)| Some((key, value?))).collect()
    };
    Ok(read.unwrap_or_default().into_iter().map(|(name, device)| (name, set(device))).collect())
}

/// The library's words for users, but for those that are none.
struct Plain;

impl MessageFormatter for Plain {
    fn format_message<'e>(&self, error: &'e Error) -> Cow<'e, str> {
        match error {
            Error::Budget { .. } => "it is too large or too deep".into(),
            error => UserMessageFormatter.format_message(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_content_is_empty() {
        for text in ["", "\n", "# a comment\n", "---\n", "--- \n# x\n...\n", "null\n"] {
            assert!(is_empty(text), "{text:?}");
        }
        for text in ["{}", "a: 1", "---\na: 1\n"] {
            assert!(!is_empty(text), "{text:?}");
        }
    }

    #[test]
    fn a_text_that_grows_without_bound_is_refused_in_plain_words() {
        let mut bomb = String::from("a0: &a0 [x]\n");
        for level in 1..9 {
            let before = vec![format!("*a{}", level - 1); 10].join(",");
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        let error = parse::<BTreeMap<String, serde_json::Value>>(&bomb).unwrap_err();
        assert!(error.starts_with("it is too large or too deep at line "), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_in_a_line_with_its_place() {
        for (text, expected) in [
            ("a: [1", "expected string scalar at line 1, column 4"),
            ("a: 1\na: 2\n", "duplicate mapping key `a` is not allowed here at line 2, column 1"),
            ("a: *x", "reference to unknown value at line 1, column 4"),
        ] {
            assert_eq!(parse::<BTreeMap<String, String>>(text).unwrap_err(), expected);
        }
    }
}
