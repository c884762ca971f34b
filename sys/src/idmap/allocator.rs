//! Which range a guest gets: one for each, machine-wide, among all daemons.

use std::path::PathBuf;

use super::claims::Claims;
use super::range::{IdRange, RANGE_SIZE};
use super::subid::{SubidFile, ranges_in_use};
use crate::error::{Result, SysError};

/// Where ranges are taken from by default: above what users, LXD and systemd-nspawn take, and below what
/// programs with signed ids stumble over (0x70000000 to 0x7FFDFFFF).
pub const WINDOW: IdRange = match IdRange::new(0x7000_0000, 0x0FFE_0000) {
    Some(window) => window,
    None => panic!("the window is no range"),
};

/// Who holds a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The daemon, named by its state directory.
    pub daemon: String,
    /// The instance, or whatever else the daemon claims ranges for.
    pub instance: String,
}

impl Owner {
    /// Names an owner.
    pub fn new(daemon: impl Into<String>, instance: impl Into<String>) -> Self {
        Self { daemon: daemon.into(), instance: instance.into() }
    }
}

/// A range and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The range.
    pub range: IdRange,
    /// Its holder.
    pub owner: Owner,
}

/// Hands out ranges of 65,536 ids from a window.
///
/// Every call locks the claims of the whole machine for its length (tens of microseconds). What others
/// than our daemons use is looked up when the allocator is opened.
#[derive(Debug)]
pub struct Allocator {
    dir: PathBuf,
    window: IdRange,
    foreign: Vec<IdRange>,
}

impl Allocator {
    /// Opens the allocator over a directory (normally `/run/sc/idmap`) and a window (normally [`WINDOW`]),
    /// keeping away from the ranges in `/etc/subuid` and `/etc/subgid` and from those in use.
    ///
    /// # Errors
    ///
    /// When the subordinate id files exist and cannot be read.
    pub fn open(dir: impl Into<PathBuf>, window: IdRange) -> Result<Self> {
        let mut foreign = ranges_in_use("/proc");
        for path in ["/etc/subuid", "/etc/subgid"] {
            foreign.extend(SubidFile::read(path)?.of_ordinary_users());
        }
        Ok(Self::with_foreign(dir, window, foreign))
    }

    /// Opens the allocator with a given list of ranges to keep away from.
    pub fn with_foreign(
        dir: impl Into<PathBuf>,
        window: IdRange,
        mut foreign: Vec<IdRange>,
    ) -> Self {
        foreign.retain(|range| range.overlaps(window));
        Self { dir: dir.into(), window, foreign }
    }

    /// Returns the owner's range, claiming a free one where it has none.
    ///
    /// Freed ranges are taken again last, so that what is left of a guest is gone by then.
    ///
    /// # Errors
    ///
    /// Unavailable when all ranges are taken; what the claims' directory gives else.
    pub fn claim(&self, owner: &Owner) -> Result<IdRange> {
        check_owner(owner)?;
        let mut claims = Claims::lock(&self.dir)?;
        if let Some(claim) = claims.list.iter().find(|claim| claim.owner == *owner) {
            return Ok(claim.range);
        }
        let (slot, range) = self.free_slot(&claims)?;
        claims.next = slot + 1;
        claims.list.push(Claim { range, owner: owner.clone() });
        claims.store()?;
        Ok(range)
    }

    /// Claims a given range, as when an instance that runs is taken up again. Claiming it twice for the
    /// same owner is fine.
    ///
    /// # Errors
    ///
    /// Conflict when another owner holds any of it, or this owner holds another range.
    pub fn claim_exact(&self, owner: &Owner, range: IdRange) -> Result<()> {
        check_owner(owner)?;
        let mut claims = Claims::lock(&self.dir)?;
        let wanted = Claim { range, owner: owner.clone() };
        if claims.list.contains(&wanted) {
            return Ok(());
        }
        let clash = claims.list.iter().find(|c| c.range.overlaps(range) || c.owner == wanted.owner);
        if let Some(Claim { range: held, owner }) = clash {
            let text = format!("{held} is held by {} of {}", owner.instance, owner.daemon);
            let kind = std::io::ErrorKind::AlreadyExists;
            return Err(SysError::message("claim id range", range, kind, text));
        }
        claims.list.push(wanted);
        claims.store()
    }

    /// Gives the owner's range back; an owner without one is fine.
    pub fn release(&self, owner: &Owner) -> Result<()> {
        self.retain(|claim| claim.owner != *owner).map(drop)
    }

    /// Drops the claims of a daemon whose instance is not among the given ones, and returns them.
    pub fn release_stale(
        &self,
        daemon: &str,
        mut is_alive: impl FnMut(&str) -> bool,
    ) -> Result<Vec<Claim>> {
        self.retain(|claim| claim.owner.daemon != daemon || is_alive(&claim.owner.instance))
    }

    /// Returns all claims of the machine.
    pub fn list(&self) -> Result<Vec<Claim>> {
        Ok(Claims::lock(&self.dir)?.list)
    }

    fn retain(&self, mut keep: impl FnMut(&Claim) -> bool) -> Result<Vec<Claim>> {
        let mut claims = Claims::lock(&self.dir)?;
        let (kept, dropped): (Vec<_>, Vec<_>) = claims.list.drain(..).partition(|c| keep(c));
        claims.list = kept;
        if !dropped.is_empty() {
            claims.store()?;
        }
        Ok(dropped)
    }

    fn free_slot(&self, claims: &Claims) -> Result<(u32, IdRange)> {
        let slots = self.window.count() / RANGE_SIZE;
        let taken = self.taken_slots(claims);
        let first = if claims.next < slots { claims.next } else { 0 };
        (first..slots)
            .chain(0..first)
            .find(|slot| !taken[*slot as usize])
            .map(|slot| (slot, self.slot(slot)))
            .ok_or_else(|| {
                let text = format!("all {slots} ranges of {} are taken", self.window);
                let kind = std::io::ErrorKind::Unsupported;
                SysError::message("claim", "id range", kind, text)
            })
    }

    fn taken_slots(&self, claims: &Claims) -> Vec<bool> {
        let mut taken = vec![false; (self.window.count() / RANGE_SIZE) as usize];
        let claimed = claims.list.iter().map(|claim| claim.range);
        for range in claimed.chain(self.foreign.iter().copied()) {
            if !range.overlaps(self.window) {
                continue;
            }
            let from = range.start().saturating_sub(self.window.start()) / RANGE_SIZE;
            let last = (range.end() - 1 - self.window.start()) / RANGE_SIZE;
            for slot in taken.iter_mut().take(last as usize + 1).skip(from as usize) {
                *slot = true;
            }
        }
        taken
    }

    fn slot(&self, slot: u32) -> IdRange {
        IdRange::new(self.window.start() + slot * RANGE_SIZE, RANGE_SIZE)
            .expect("a slot lies in the window, which is a range")
    }
}

fn owner_name(owner: &Owner) -> String {
    format!("{} of {}", owner.instance.escape_debug(), owner.daemon.escape_debug())
}

fn check_owner(owner: &Owner) -> Result<()> {
    let clean = |text: &str| !text.is_empty() && !text.contains(['\t', '\n', '\r']);
    if clean(&owner.daemon) && clean(&owner.instance) {
        return Ok(());
    }
    let kind = std::io::ErrorKind::InvalidInput;
    Err(SysError::message("claim id range for", owner_name(owner), kind, "unusable name"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn owner(number: u8) -> Owner {
        Owner::new("/var/lib/x", format!("c{number}"))
    }

    fn small(dir: &tempfile::TempDir) -> Allocator {
        let window = IdRange::new(0x7000_0000, 8 * RANGE_SIZE).expect("a range");
        let foreign = IdRange::new(0x7002_8000, RANGE_SIZE).expect("a range");
        Allocator::with_foreign(dir.path(), window, vec![foreign])
    }

    #[test]
    fn the_window_ends_before_what_signed_ids_and_others_use() {
        assert_eq!(WINDOW.start(), 0x7000_0000);
        assert_eq!(WINDOW.end() - 1, 0x7FFD_FFFF);
        assert_eq!(WINDOW.count() % RANGE_SIZE, 0);
    }

    #[test]
    fn a_second_claim_of_the_same_owner_is_the_same_range() {
        let dir = tempfile::tempdir().unwrap();
        let range = small(&dir).claim(&owner(1)).unwrap();
        assert_eq!(small(&dir).claim(&owner(1)).unwrap(), range);
    }

    #[test]
    fn a_freed_range_is_taken_again_last() {
        let dir = tempfile::tempdir().unwrap();
        let allocator = small(&dir);
        let first = allocator.claim(&owner(1)).unwrap();
        allocator.release(&owner(1)).unwrap();
        for number in 2..7 {
            assert_ne!(allocator.claim(&owner(number)).unwrap(), first);
        }
        assert_eq!(allocator.claim(&owner(7)).unwrap(), first);
    }

    #[test]
    fn a_full_window_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let allocator = small(&dir);
        // Two of the eight slots touch the foreign range.
        for number in 0..6 {
            allocator.claim(&owner(number)).unwrap();
        }
        let error = allocator.claim(&owner(99)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
    }

    #[test]
    fn an_exact_claim_refuses_what_another_holds() {
        let dir = tempfile::tempdir().unwrap();
        let allocator = small(&dir);
        let range = allocator.claim(&owner(1)).unwrap();
        allocator.claim_exact(&owner(1), range).unwrap();
        let error = allocator.claim_exact(&owner(2), range).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Conflict);
    }

    #[test]
    fn stale_claims_of_one_daemon_leave_those_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let allocator = small(&dir);
        let other = Owner::new("/other", "c1");
        allocator.claim(&owner(1)).unwrap();
        allocator.claim(&owner(2)).unwrap();
        allocator.claim(&other).unwrap();
        let dropped = allocator.release_stale("/var/lib/x", |name| name == "c2").unwrap();
        assert_eq!(dropped.len(), 1);
        let left: Vec<_> = allocator.list().unwrap().into_iter().map(|c| c.owner).collect();
        assert_eq!(left, [owner(2), other]);
    }

    #[test]
    fn a_name_with_a_tab_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(small(&dir).claim(&Owner::new("/a\tb", "c")).is_err());
    }

    #[test]
    fn claims_of_many_threads_never_collide() {
        let dir = tempfile::tempdir().unwrap();
        let ranges: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|n| {
                    scope.spawn({
                        let dir = &dir;
                        move || small(dir).claim(&owner(n)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut distinct = ranges.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ranges.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_two_owners_ever_share_an_id(
            steps in proptest::collection::vec((0_u8..10, any::<bool>()), 1..40)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let allocator = small(&dir);
            let mut model: HashMap<u8, IdRange> = HashMap::new();
            for (number, take) in steps {
                if !take {
                    allocator.release(&owner(number)).unwrap();
                    model.remove(&number);
                } else if let Ok(range) = allocator.claim(&owner(number)) {
                    let window = allocator.window;
                    prop_assert!(window.start() <= range.start() && range.end() <= window.end());
                    prop_assert!(!allocator.foreign.iter().any(|f| f.overlaps(range)));
                    for (other, held) in &model {
                        prop_assert!(*other == number || !held.overlaps(range));
                    }
                    model.insert(number, range);
                } else {
                    prop_assert_eq!(model.len(), 6);
                }
            }
            prop_assert_eq!(allocator.list().unwrap().len(), model.len());
        }
    }
}
