//! The map between a guest's ids and the host's.

use std::fmt::Write as _;
use std::io;
use std::process::{Command, Stdio};

use super::range::IdRange;
use crate::Context;
use crate::error::{Result, SysError};

/// The kernel takes no more lines in one map.
const MOST_ENTRIES: usize = 340;

/// One line of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// First id inside.
    pub inside: u32,
    /// First id on the host.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

/// The host ids of a guest's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostIds {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// A uid map and a gid map without overlaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    uids: Vec<Entry>,
    gids: Vec<Entry>,
}

impl IdMap {
    /// Maps 0 and what follows to the range, for uids and gids alike.
    pub fn for_range(range: IdRange) -> Self {
        let entry = Entry { inside: 0, outside: range.start(), count: range.count() };
        Self { uids: vec![entry], gids: vec![entry] }
    }

    /// Makes a map of several entries.
    ///
    /// # Errors
    ///
    /// Invalid when there are no entries or more than 340, or when two overlap inside or outside.
    pub fn new(uids: Vec<Entry>, gids: Vec<Entry>) -> Result<Self> {
        for entries in [&uids, &gids] {
            check(entries).map_err(|text| {
                SysError::message("check", "id map", io::ErrorKind::InvalidInput, text)
            })?;
        }
        Ok(Self { uids, gids })
    }

    /// Returns the uid entries.
    pub fn uids(&self) -> &[Entry] {
        &self.uids
    }

    /// Returns the gid entries.
    pub fn gids(&self) -> &[Entry] {
        &self.gids
    }

    /// Returns what a uid of the guest is on the host.
    pub fn host_uid(&self, inside: u32) -> Option<u32> {
        outward(&self.uids, inside)
    }

    /// Returns what a gid of the guest is on the host.
    pub fn host_gid(&self, inside: u32) -> Option<u32> {
        outward(&self.gids, inside)
    }

    /// Returns what a uid of the host is in the guest.
    pub fn guest_uid(&self, outside: u32) -> Option<u32> {
        inward(&self.uids, outside)
    }

    /// Returns what a gid of the host is in the guest.
    pub fn guest_gid(&self, outside: u32) -> Option<u32> {
        inward(&self.gids, outside)
    }

    /// Returns the host ids of the guest's root, or of its lowest ids where 0 is not mapped.
    pub fn root_on_host(&self) -> Option<HostIds> {
        let lowest = |entries: &[Entry]| entries.iter().min_by_key(|e| e.inside).map(|e| e.outside);
        Some(HostIds { uid: lowest(&self.uids)?, gid: lowest(&self.gids)? })
    }

    /// Writes the maps of a process's user namespace: directly, or through `newuidmap` and `newgidmap`
    /// where the kernel denies it.
    ///
    /// # Errors
    ///
    /// What the kernel says; for the wrappers their words, and "not found" when they are not installed
    /// (package `uidmap`).
    pub fn write_to(&self, pid: i32) -> Result<()> {
        write_one(pid, "uid_map", "newuidmap", &self.uids)?;
        write_one(pid, "gid_map", "newgidmap", &self.gids)
    }
}

fn write_one(pid: i32, file: &str, wrapper: &'static str, entries: &[Entry]) -> Result<()> {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "{} {} {}", entry.inside, entry.outside, entry.count);
    }
    let path = format!("/proc/{pid}/{file}");
    // The kernel wants the whole map in one write.
    match std::fs::write(&path, text) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            run_wrapper(wrapper, pid, entries)
        }
        outcome => outcome.op("write id map", path),
    }
}

fn run_wrapper(wrapper: &'static str, pid: i32, entries: &[Entry]) -> Result<()> {
    let mut command = Command::new(wrapper);
    command.arg(pid.to_string()).stdin(Stdio::null());
    for entry in entries {
        command.args([entry.inside, entry.outside, entry.count].map(|number| number.to_string()));
    }
    let output = command.output().op("run", wrapper)?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SysError::message("run", wrapper, io::ErrorKind::PermissionDenied, words))
}

fn outward(entries: &[Entry], inside: u32) -> Option<u32> {
    let entry = entries.iter().find(|e| inside >= e.inside && inside - e.inside < e.count)?;
    Some(entry.outside + (inside - entry.inside))
}

fn inward(entries: &[Entry], outside: u32) -> Option<u32> {
    let entry = entries.iter().find(|e| outside >= e.outside && outside - e.outside < e.count)?;
    Some(entry.inside + (outside - entry.outside))
}

fn check(entries: &[Entry]) -> Result<(), String> {
    if entries.is_empty() || entries.len() > MOST_ENTRIES {
        return Err(format!("{} entries, where 1 to {MOST_ENTRIES} are possible", entries.len()));
    }
    for (number, entry) in entries.iter().enumerate() {
        let range = |start| {
            IdRange::new(start, entry.count)
                .ok_or_else(|| format!("{} ids from {start} on are no range of ids", entry.count))
        };
        let (inside, outside) = (range(entry.inside)?, range(entry.outside)?);
        for other in &entries[..number] {
            let clash = |mine: IdRange, start| {
                IdRange::new(start, other.count).is_some_and(|theirs| mine.overlaps(theirs))
            };
            if clash(inside, other.inside) || clash(outside, other.outside) {
                return Err(format!("two entries overlap at {inside} to {outside}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range_map() -> IdMap {
        IdMap::for_range(IdRange::new(0x7000_0000, 65_536).expect("a range"))
    }

    proptest! {
        #[test]
        fn what_goes_out_comes_back_in(id in 0_u32..65_536) {
            let map = range_map();
            let outside = map.host_uid(id).expect("mapped");
            prop_assert_eq!(map.guest_uid(outside), Some(id));
        }

        #[test]
        fn what_is_not_mapped_has_no_host_id(id in 65_536_u32..) {
            prop_assert_eq!(range_map().host_gid(id), None);
        }
    }

    #[test]
    fn overlapping_entries_are_refused() {
        let one = Entry { inside: 0, outside: 1000, count: 10 };
        let inside = Entry { inside: 5, outside: 3000, count: 10 };
        let outside = Entry { inside: 100, outside: 1009, count: 1 };
        let apart = Entry { inside: 100, outside: 1010, count: 1 };
        assert!(IdMap::new(vec![one, inside], vec![one]).is_err());
        assert!(IdMap::new(vec![one], vec![one, outside]).is_err());
        assert!(IdMap::new(vec![one, apart], vec![one]).is_ok());
        assert!(IdMap::new(vec![], vec![one]).is_err());
    }

    #[test]
    fn root_is_the_lowest_id_inside() {
        let high = Entry { inside: 1000, outside: 7, count: 1 };
        let low = Entry { inside: 0, outside: 100_000, count: 10 };
        let map = IdMap::new(vec![high, low], vec![high]).expect("valid");
        assert_eq!(map.root_on_host(), Some(HostIds { uid: 100_000, gid: 7 }));
    }
}
