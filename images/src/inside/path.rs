//! The paths in an archive, and which of them are refused.

/// A path below the root of a filesystem: components joined by `/`, none of them empty, `.` or `..`;
/// empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct EntryPath(Vec<u8>);

const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;

impl EntryPath {
    /// Reads a path as it stands in an archive; `Err` says why it is refused.
    pub(crate) fn parse(raw: &[u8], max_depth: u32) -> Result<Self, String> {
        if raw.starts_with(b"/") {
            return Err("its path is absolute: paths in an image must be relative".into());
        }
        if raw.contains(&0) {
            return Err("its path contains a zero byte".into());
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for name in raw.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            if name == b".." {
                return Err(
                    "its path contains \"..\": paths in an image must not lead upwards".into()
                );
            }
            if name.len() > NAME_MAX {
                return Err(format!("a name in its path is longer than {NAME_MAX} bytes"));
            }
            depth += 1;
            if depth > max_depth {
                return Err(format!("its path is deeper than {max_depth} folders"));
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        if path.len() >= PATH_MAX {
            return Err(format!("its path is longer than {PATH_MAX} bytes"));
        }
        Ok(Self(path))
    }

    /// Returns the path's bytes, without a leading `/`.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Splits into the folder's path (empty for the root) and the last name.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (b"", &self.0),
        }
    }

    /// Returns the path below `folder` (one component), if it is there: the root for `folder` itself.
    pub(crate) fn below(&self, folder: &[u8]) -> Option<Self> {
        let rest = self.0.strip_prefix(folder)?;
        match rest {
            [] => Some(Self::default()),
            [b'/', rest @ ..] => Some(Self(rest.to_vec())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        EntryPath::parse(text.as_bytes(), 4).map(|p| String::from_utf8(p.bytes().to_vec()).unwrap())
    }

    #[test]
    fn dots_and_doubled_slashes_fall_away() {
        assert_eq!(parse("./a//b/./c/").unwrap(), "a/b/c");
        assert_eq!(parse("./").unwrap(), "");
        assert_eq!(parse("...").unwrap(), "...");
    }

    #[test]
    fn hostile_paths_are_refused_by_name() {
        assert!(parse("/etc/passwd").unwrap_err().contains("absolute"));
        assert!(parse("a/../../b").unwrap_err().contains("\"..\""));
        assert!(parse("a/b/c/d/e").unwrap_err().contains("deeper than 4"));
        assert!(parse(&"x".repeat(256)).unwrap_err().contains("255 bytes"));
        assert!(parse("a\0b").unwrap_err().contains("zero byte"));
    }

    #[test]
    fn below_takes_whole_components_only() {
        let path = |text: &str| EntryPath::parse(text.as_bytes(), 9).unwrap();
        assert_eq!(path("rootfs/etc").below(b"rootfs"), Some(path("etc")));
        assert_eq!(path("rootfs").below(b"rootfs"), Some(path("")));
        assert_eq!(path("rootfs2/etc").below(b"rootfs"), None);
    }

    #[test]
    fn the_last_name_is_split_off() {
        let path = |text: &str| EntryPath::parse(text.as_bytes(), 9).unwrap();
        assert_eq!(path("a/b/c").split(), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(path("a").split(), (&b""[..], &b"a"[..]));
    }
}
