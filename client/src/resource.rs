//! What all resources share: paths, and objects with their ETags.

use std::fmt::Write;

/// An object with the ETag that guards its replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<T> {
    /// The object.
    pub value: T,
    /// Its ETag, where the server gave one.
    pub etag: Option<String>,
}

/// The path of these segments below `/1.0`, each percent-encoded.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = String::from("/1.0");
    for segment in segments {
        path.push('/');
        path.push_str(&encode(segment));
    }
    path
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("text grows"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_in_a_name_does_not_make_a_path() {
        assert_eq!(path(&["images", "aliases", "bb/v1"]), "/1.0/images/aliases/bb%2Fv1");
        assert_eq!(path(&["instances", "ä?x"]), "/1.0/instances/%C3%A4%3Fx");
    }
}
