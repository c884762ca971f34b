//! Waiting with a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

/// So much time, or so many times as much as `SC_TEST_PATIENCE` says: for machines that are slow.
pub fn patient(time: Duration) -> Duration {
    let Some(factor) = std::env::var_os("SC_TEST_PATIENCE") else { return time };
    let factor = factor.to_str().and_then(|text| text.parse::<u32>().ok());
    time * factor.expect("SC_TEST_PATIENCE is a whole number")
}

/// Looks until `look` finds something, and panics with `what` when it has not by the deadline.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let within = patient(within);
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {within:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Asks until the answer is `wanted`; the panic shows the last one.
#[track_caller]
pub fn until<T: PartialEq + Debug>(
    what: &str,
    within: Duration,
    wanted: &T,
    mut ask: impl FnMut() -> T,
) {
    let within = patient(within);
    let end = Instant::now() + within;
    loop {
        let seen = ask();
        if seen == *wanted {
            return;
        }
        assert!(
            Instant::now() < end,
            "{what}: not within {within:?}; wanted {wanted:?}, seen {seen:?}"
        );
        std::thread::sleep(PAUSE);
    }
}
