//! `/etc/subuid` and `/etc/subgid`, and ranges that living user namespaces use.

use std::io;
use std::path::Path;

use super::range::IdRange;
use crate::error::{Result, SysError};

/// One line of subuid(5) or subgid(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubidEntry {
    /// A user's name, or a number.
    pub user: String,
    /// The ids that the user may map.
    pub range: IdRange,
}

/// The lines of a subordinate id file. Lines that make no sense are skipped, as `newuidmap` does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubidFile {
    /// The entries in the order of the file.
    pub entries: Vec<SubidEntry>,
}

impl SubidFile {
    /// Reads a file; one that does not exist has no entries.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(SysError::new("read", path.display(), error)),
        }
    }

    /// Parses the text of such a file.
    pub fn parse(text: &str) -> Self {
        Self { entries: text.lines().filter_map(parse_line).collect() }
    }

    /// Returns the ranges given to users other than root.
    ///
    /// Root's entries are the permission that container managers take ranges by, this one among them, and
    /// often span more than is used; what is used of them shows in [`ranges_in_use`].
    pub fn of_ordinary_users(&self) -> impl Iterator<Item = IdRange> + '_ {
        self.entries.iter().filter(|e| e.user != "root" && e.user != "0").map(|e| e.range)
    }
}

fn parse_line(line: &str) -> Option<SubidEntry> {
    let mut fields = line.trim().split(':');
    let (user, start, count) = (fields.next()?, fields.next()?, fields.next()?);
    if user.is_empty() || user.starts_with('#') || fields.next().is_some() {
        return None;
    }
    let range = IdRange::new(start.trim().parse().ok()?, count.trim().parse().ok()?)?;
    Some(SubidEntry { user: user.to_owned(), range })
}

/// Returns the host ranges that the user namespaces of living processes map, the initial one's left out.
///
/// `proc` is the mount of procfs. Walks all processes: not for a path that has to be fast.
pub fn ranges_in_use(proc: impl AsRef<Path>) -> Vec<IdRange> {
    let Ok(processes) = std::fs::read_dir(proc.as_ref()) else {
        return Vec::new();
    };
    let mut ranges = Vec::new();
    for process in processes.flatten() {
        let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process {
            continue;
        }
        for file in ["uid_map", "gid_map"] {
            // Processes come and go meanwhile.
            if let Ok(text) = std::fs::read_to_string(process.path().join(file)) {
                ranges.extend(text.lines().filter_map(parse_map_line));
            }
        }
    }
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

fn parse_map_line(line: &str) -> Option<IdRange> {
    let mut fields = line.split_whitespace().map(str::parse::<u32>);
    let (_inside, outside, count) =
        (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    // The initial namespace's own map.
    if count == u32::MAX {
        return None;
    }
    IdRange::new(outside, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn senseless_lines_are_skipped() {
        let text =
            "# note\nroot:1000000:1000000000\n\nbad\nx:1:2:3\nann:100000:65536\n1001:-1:5\n:1:1\n";
        let file = SubidFile::parse(text);
        let users: Vec<_> = file.entries.iter().map(|e| e.user.as_str()).collect();
        assert_eq!(users, ["root", "ann"]);
        assert_eq!(file.of_ordinary_users().count(), 1);
        assert_eq!(file.entries[0].range.start(), 1_000_000);
    }

    #[test]
    fn the_initial_namespaces_map_is_left_out() {
        assert_eq!(parse_map_line("         0          0 4294967295"), None);
        assert_eq!(parse_map_line(" 0 1879048192 65536"), IdRange::new(0x7000_0000, 65_536));
    }

    proptest! {
        #[test]
        fn any_text_parses(text in "[ -~\n:0-9]{0,200}") {
            SubidFile::parse(&text);
        }
    }
}
