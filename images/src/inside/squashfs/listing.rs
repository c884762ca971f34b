//! What `unsquashfs -lln` prints, line by line.

/// One line of `unsquashfs -lln`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed<'a> {
    pub(super) kind: u8,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) device: (u64, u64),
    pub(super) path: &'a [u8],
}

impl<'a> Listed<'a> {
    /// Reads `-rw-r--r-- 0/0     3 2026-01-01 00:00 /path`; devices have `1,  3` for a size.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let start = rest.iter().position(|byte| *byte != b' ')?;
            let length = rest[start..].iter().position(|byte| *byte == b' ')?;
            let word = std::str::from_utf8(&rest[start..start + length]).ok()?;
            rest = &rest[start + length..];
            Some(word)
        };
        let mode = word()?;
        let kind = *mode.as_bytes().first().filter(|_| mode.len() == 10)?;
        let (uid, gid) = word()?.split_once('/')?;
        let size = word()?;
        let (size, device) = match size.split_once(',') {
            Some((major, "")) => (0, (major.parse().ok()?, word()?.parse().ok()?)),
            Some((major, minor)) => (0, (major.parse().ok()?, minor.parse().ok()?)),
            None => (size.parse().ok()?, (0, 0)),
        };
        let (day, minute) = (word()?, word()?);
        if day.len() != 10 || minute.len() != 5 {
            return None;
        }
        let path = rest.strip_prefix(b" ")?;
        let path = match kind {
            b'l' => path.windows(4).position(|w| w == b" -> ").map(|end| &path[..end])?,
            _ => path,
        };
        if !path.is_empty() && !path.starts_with(b"/") {
            return None;
        }
        Some(Self { kind, uid: uid.parse().ok()?, gid: gid.parse().ok()?, size, device, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_lines_are_read() {
        let file =
            Listed::parse(b"-rw-r--r-- 0/33               3 2026-11-24 09:48 /etc/a b").unwrap();
        assert_eq!((file.kind, file.uid, file.gid, file.size), (b'-', 0, 33, 3));
        assert_eq!(file.path, b"/etc/a b");
        let device =
            Listed::parse(b"crw-r--r-- 0/0           1,  3 2026-11-24 09:48 /dev/null").unwrap();
        assert_eq!((device.kind, device.device), (b'c', (1, 3)));
        let link = Listed::parse(b"lrwxrwxrwx 0/0    3 2026-11-24 09:48 /l nk -> a -> b").unwrap();
        assert_eq!(link.path, b"/l nk");
        let root = Listed::parse(b"drwxr-xr-x 0/0   59 2026-11-24 09:48 ").unwrap();
        assert_eq!(root.path, b"");
        assert_eq!(Listed::parse(b"passwd"), None);
    }
}
