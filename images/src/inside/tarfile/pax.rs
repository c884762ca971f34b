//! The records of a pax extended header: `LENGTH KEY=VALUE\n`, read by length, as values are binary.

use crate::inside::acl;

/// The records that matter.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse_major: Option<u64>,
    pub(super) sparse_name: Option<Vec<u8>>,
    pub(super) sparse_size: Option<u64>,
    /// Offsets and lengths, one after the other, as the formats 0.0 and 0.1 have them.
    pub(super) sparse_map: Vec<u64>,
}

impl Records {
    /// Reads all records; `Err` says what is wrong.
    pub(super) fn parse(mut raw: &[u8]) -> Result<Self, String> {
        let mut records = Self::default();
        while !raw.is_empty() && raw[0] != 0 {
            let (key, value, rest) = split(raw).ok_or("a pax header of the archive is damaged")?;
            records.take(key, value)?;
            raw = rest;
        }
        Ok(records)
    }

    /// Refuses records that would apply to all entries that follow, but for those without effect.
    pub(super) fn refuse_global(self) -> Result<(), String> {
        let harmless = Self { mtime: None, ..Self::default() };
        let same = self.path == harmless.path
            && self.link == harmless.link
            && self.size.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.xattrs.is_empty()
            && self.sparse_map.is_empty()
            && self.sparse_major.is_none()
            && self.sparse_size.is_none()
            && self.sparse_name.is_none();
        if same {
            return Ok(());
        }
        Err("a global pax header of the archive sets names, sizes, owners or attributes for all \
             entries, which is not supported: pack it anew with GNU tar or bsdtar"
            .into())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(key, value)?),
            b"uid" => self.uid = Some(number(key, value)?),
            b"gid" => self.gid = Some(number(key, value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(|| unreadable(key))?),
            b"SCHILY.acl.access" => self.acl(key, b"system.posix_acl_access", value)?,
            b"SCHILY.acl.default" => self.acl(key, b"system.posix_acl_default", value)?,
            b"GNU.sparse.major" => self.sparse_major = Some(number(key, value)?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse_size = Some(number(key, value)?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse_map.push(number(key, value)?);
            }
            b"GNU.sparse.map" => {
                self.sparse_map = value
                    .split(|byte| *byte == b',')
                    .filter(|part| !part.is_empty())
                    .map(|part| number(key, part))
                    .collect::<Result<_, _>>()?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn acl(&mut self, key: &[u8], name: &[u8], text: &[u8]) -> Result<(), String> {
        let value = acl::from_text(text).ok_or_else(|| unreadable(key))?;
        self.xattrs.push((name.to_vec(), value));
        Ok(())
    }
}

/// Splits the first record off.
fn split(raw: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = raw.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&raw[..blank]).ok()?.parse().ok()?;
    if length > raw.len() || length < blank + 3 || raw[length - 1] != b'\n' {
        return None;
    }
    let record = &raw[blank + 1..length - 1];
    // Attribute names may hold "=", but tools write them escaped; the first one ends the key.
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &raw[length..]))
}

fn number(key: &[u8], value: &[u8]) -> Result<u64, String> {
    std::str::from_utf8(value).ok().and_then(|t| t.parse().ok()).ok_or_else(|| unreadable(key))
}

fn unreadable(key: &[u8]) -> String {
    format!("the pax record {} of the archive cannot be read", String::from_utf8_lossy(key))
}

/// Reads seconds with a fraction, such as "-1.25".
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if seconds.starts_with('-') && nanoseconds > 0 {
        // Time runs upwards from the whole second below.
        return Some((whole.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((whole, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        record
    }

    #[test]
    fn a_value_with_newlines_is_one_value() {
        let mut raw = record("SCHILY.xattr.user.x", b"a\n12 path=evil\nb");
        raw.extend(record("size", b"7"));
        let records = Records::parse(&raw).unwrap();
        assert_eq!(records.xattrs, [(b"user.x".to_vec(), b"a\n12 path=evil\nb".to_vec())]);
        assert_eq!((records.path, records.size), (None, Some(7)));
    }

    #[test]
    fn damaged_records_are_refused() {
        assert!(Records::parse(b"99 path=x\n").is_err());
        assert!(Records::parse(b"x path=x\n").is_err());
        assert!(Records::parse(&record("size", b"-1")).unwrap_err().contains("size"));
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"7"), Some((7, 0)));
    }

    #[test]
    fn global_records_may_only_comment() {
        assert!(Records::parse(&record("comment", b"x")).unwrap().refuse_global().is_ok());
        assert!(Records::parse(&record("path", b"x")).unwrap().refuse_global().is_err());
    }
}
