//! When changes of the network are told: the first after a quiet time at once, those that follow together.

use std::time::{Duration, Instant};

/// Changes come in bursts; after one was told the next is not before this.
const GATHERED: Duration = Duration::from_millis(100);

/// What has changed and was not told.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    due: Option<Instant>,
    /// When the next may be told.
    quiet_until: Option<Instant>,
}

impl Changes {
    /// Something has changed.
    pub(crate) fn happened(&mut self, now: Instant) {
        let at = self.quiet_until.map_or(now, |quiet| quiet.max(now));
        self.due.get_or_insert(at);
    }

    /// Returns when it is to be told; `None` where nothing has changed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is to be told now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|at| at <= now)
    }

    /// It was told, beginning at that time. What takes long to gather is told more seldom, so that a guest
    /// with very many addresses cannot keep its agent busy.
    pub(crate) fn told(&mut self, began: Instant, now: Instant) {
        let pause = GATHERED.max(now.duration_since(began) * 10);
        (self.due, self.quiet_until) = (None, Some(began + pause));
    }

    /// It cannot be told now.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.due = Some(now + GATHERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_is_told_at_once_and_those_behind_it_together() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut changes = Changes::default();
        assert_eq!(changes.due(), None);
        changes.happened(at(0));
        assert!(changes.is_due(at(0)));
        changes.told(at(0), at(1));
        changes.happened(at(10));
        changes.happened(at(60));
        assert_eq!(changes.due(), Some(at(0) + GATHERED));
        changes.told(at(100), at(101));
        changes.happened(at(1000));
        assert!(changes.is_due(at(1000)), "it was quiet since");
    }

    #[test]
    fn without_changes_nothing_is_waited_for() {
        let now = Instant::now();
        let mut changes = Changes::default();
        changes.happened(now);
        changes.told(now, now);
        assert_eq!(changes.due(), None);
    }

    #[test]
    fn what_takes_long_is_told_more_seldom() {
        let now = Instant::now();
        let mut changes = Changes::default();
        let later = now + Duration::from_millis(50);
        changes.told(now, later);
        changes.happened(later);
        assert_eq!(changes.due(), Some(now + Duration::from_millis(500)));
    }
}
