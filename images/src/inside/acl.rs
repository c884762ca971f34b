//! POSIX ACLs as tar writes them in text, turned into what the kernel takes.

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

/// Reads `user::rwx,user:1000:r-x,…` (also with names and the id at the end, as star writes it) into
/// the value of `system.posix_acl_access` or `_default`. `None` for what is no ACL.
pub(crate) fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut entries = Vec::new();
    for line in
        text.split([',', '\n']).map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        entries.push(entry(line)?);
    }
    // The kernel wants them in this order.
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Some(value)
}

fn entry(line: &str) -> Option<(u16, u32, u16)> {
    let fields: Vec<&str> = line.split(':').collect();
    let (kind, name, bits) = match fields[..] {
        // "mask:rwx" and "other:r-x" have no name field in some writers.
        [kind, bits] => (kind, "", bits),
        [kind, name, bits, ..] => (kind, name, bits),
        _ => return None,
    };
    let id = match fields.get(3) {
        Some(id) => Some(id.parse().ok()?),
        None if name.is_empty() => None,
        None => Some(name.parse().ok()?),
    };
    let (tag, id) = match (kind, id) {
        ("user" | "u", None) => (0x01, NO_ID),
        ("user" | "u", Some(id)) => (0x02, id),
        ("group" | "g", None) => (0x04, NO_ID),
        ("group" | "g", Some(id)) => (0x08, id),
        ("mask" | "m", None) => (0x10, NO_ID),
        ("other" | "o", None) => (0x20, NO_ID),
        _ => return None,
    };
    Some((tag, id, permissions(bits)?))
}

fn permissions(text: &str) -> Option<u16> {
    // Some writers add "#effective:r--" behind a blank.
    let text = text.split_whitespace().next()?;
    text.bytes().try_fold(0, |bits, byte| match byte {
        b'r' => Some(bits | 4),
        b'w' => Some(bits | 2),
        b'x' => Some(bits | 1),
        b'-' => Some(bits),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_the_kernels_value_in_the_kernels_order() {
        let value =
            from_text(b"user::rw-,other::r--,user:1000:r-x,group::r--,mask::r-x\n").unwrap();
        let mut expected = vec![2, 0, 0, 0];
        for (tag, bits, id) in
            [(1u16, 6u16, NO_ID), (2, 5, 1000), (4, 4, NO_ID), (16, 5, NO_ID), (32, 4, NO_ID)]
        {
            expected.extend(tag.to_le_bytes());
            expected.extend(bits.to_le_bytes());
            expected.extend(id.to_le_bytes());
        }
        assert_eq!(value, expected);
    }

    #[test]
    fn an_id_behind_a_name_is_taken_and_a_bare_name_is_not() {
        assert!(from_text(b"user:lp:rwx:7").is_some());
        assert!(from_text(b"user:lp:rwx").is_none());
        assert!(from_text(b"user:1:rwz").is_none());
    }
}
