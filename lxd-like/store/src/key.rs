//! Keys: paths of segments such as `/instances/default/web1`, checked once.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The longest key, in bytes.
const MAX_LENGTH: usize = 1024;

/// A key: `/` and a segment, once or more. A segment is one or more of `A-Z a-z 0-9 . _ : @ + = , ~ -`;
/// every other byte, and the segments `.` and `..`, are written as `%XX`, so that any name has
/// exactly one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// A text that cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid key {key:?}: {why}")]
pub struct KeyError {
    /// The text, or what the segments would have made.
    pub key: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Key {
    /// Checks a key written out.
    ///
    /// # Errors
    ///
    /// Fails when it is not of the form above.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let fail = |why| KeyError { key: text.to_owned(), why };
        let path = text.strip_prefix('/').ok_or(fail("it does not begin with a slash"))?;
        for segment in path.split('/') {
            let name = decode(segment).ok_or(fail("a segment has a bad escape"))?;
            if !segment.is_empty() && encode(&name) != segment {
                return Err(fail("a segment has a character that must be escaped, or needs not"));
            }
        }
        Self::checked(text)
    }

    /// Makes a key of names, escaping what is not allowed in a segment.
    ///
    /// # Errors
    ///
    /// Fails when there is no name, a name is empty, or the whole is over 1,024 bytes.
    pub fn from_segments<S: AsRef<str>>(
        segments: impl IntoIterator<Item = S>,
    ) -> Result<Self, KeyError> {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            text.push_str(&encode(segment.as_ref()));
        }
        Self::checked(&text)
    }

    fn checked(text: &str) -> Result<Self, KeyError> {
        let fail = |why| Err(KeyError { key: text.to_owned(), why });
        if text.is_empty() || text.ends_with('/') || text.contains("//") {
            return fail("a segment is empty");
        }
        if text.len() > MAX_LENGTH {
            return fail("it is longer than 1024 bytes");
        }
        Ok(Self(text.into()))
    }

    /// The names that it was made of.
    pub fn segments(&self) -> impl Iterator<Item = String> {
        self.0[1..].split('/').map(|segment| decode(segment).expect("checked when it was made"))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn encode(name: &str) -> String {
    let dots = name == "." || name == "..";
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'.' if dots => segment.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => segment.push(char::from(byte)),
            b'.' | b'_' | b':' | b'@' | b'+' | b'=' | b',' | b'~' | b'-' => {
                segment.push(char::from(byte));
            }
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
    segment
}

fn decode(segment: &str) -> Option<String> {
    let mut name = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            name.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(name).ok()
}

impl Deref for Key {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_are_keys() {
        for text in ["/a", "/instances/default/web1", "/claims/mac/00:16:3e:00:00:01"] {
            assert_eq!(Key::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "/", "a", "a/b", "/a/", "//a", "/a//b", "/a b", "/ä", "/.", "/a/..", "/%", "/%4",
            "/%41", "/%2f", "/%+1", "/%FF", "/a\0",
        ] {
            assert!(Key::parse(text).is_err(), "{text:?}");
        }
        assert!(Key::parse(&format!("/{}", "a".repeat(MAX_LENGTH))).is_err());
    }

    #[test]
    fn names_with_anything_in_them_become_segments() {
        let key = Key::from_segments(["images", "debian/12", "..", "é"]).unwrap();
        assert_eq!(key.as_str(), "/images/debian%2F12/%2E%2E/%C3%A9");
        assert!(Key::from_segments(["a", ""]).is_err());
        assert!(Key::from_segments::<&str>([]).is_err());
    }

    proptest! {
        #[test]
        fn names_come_back_out_of_a_key(names in prop::collection::vec("\\PC{1,20}", 1..5)) {
            let key = Key::from_segments(&names).unwrap();
            prop_assert_eq!(&Key::parse(&key).unwrap(), &key);
            prop_assert_eq!(key.segments().collect::<Vec<_>>(), names);
        }
    }
}
