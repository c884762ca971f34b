//! Steps that are taken back in reverse order unless the whole succeeds.
//!
//! ```
//! use sc_sys::undo::Undo;
//!
//! let mut undo = Undo::new();
//! undo.push("remove volume", || std::io::Result::Ok(()));
//! undo.push("remove link", || std::io::Result::Ok(()));
//! // An early return here removes the link, then the volume.
//! undo.commit();
//! ```

use std::error::Error;
use std::fmt;

type Cause = Box<dyn Error + Send + Sync>;
type Step = Box<dyn FnOnce() -> Result<(), Cause> + Send>;
type Listener = Box<dyn FnMut(UndoError) + Send>;

/// A step that could not be taken back.
#[derive(Debug, thiserror::Error)]
#[error("undo step {step}")]
pub struct UndoError {
    /// What the step was pushed as.
    pub step: String,
    /// Why it failed.
    #[source]
    pub source: Cause,
}

/// The steps to take back. Dropping it takes them back; [`Undo::commit`] forgets them.
#[derive(Default)]
pub struct Undo {
    steps: Vec<(String, Step)>,
    listener: Option<Listener>,
}

impl Undo {
    /// Starts without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts without steps; `listener` hears of every step that fails while being taken back by a drop.
    pub fn with_listener(listener: impl FnMut(UndoError) + Send + 'static) -> Self {
        Self { steps: Vec::new(), listener: Some(Box::new(listener)) }
    }

    /// Adds how to take back what is about to be done, or was done just now.
    pub fn push<E: Into<Cause>>(
        &mut self,
        name: impl Into<String>,
        step: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) {
        self.steps.push((name.into(), Box::new(|| step().map_err(Into::into))));
    }

    /// Keeps everything.
    pub fn commit(mut self) {
        self.steps.clear();
    }

    /// Takes all steps back, the last first, going on when one fails; returns those that failed.
    pub fn roll_back(mut self) -> Vec<UndoError> {
        let mut failures = Vec::new();
        self.run(|failure| failures.push(failure));
        failures
    }

    fn run(&mut self, mut failed: impl FnMut(UndoError)) {
        while let Some((name, step)) = self.steps.pop() {
            if let Err(source) = step() {
                failed(UndoError { step: name, source });
            }
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let mut listener = self.listener.take();
        self.run(|failure| {
            if let Some(listener) = &mut listener {
                listener(failure);
            }
        });
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn recorder() -> (Arc<Mutex<Vec<u32>>>, impl Fn(u32) -> Step) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        (seen, move |number| {
            let log = Arc::clone(&log);
            Box::new(move || {
                log.lock().unwrap().push(number);
                if number == 2 { Err("stuck".into()) } else { Ok(()) }
            })
        })
    }

    #[test]
    fn a_drop_takes_back_in_reverse_and_goes_on_after_a_failure() {
        let (seen, step) = recorder();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&failures);
        let mut undo = Undo::with_listener(move |f| sink.lock().unwrap().push(f.step));
        for number in 1..=3 {
            undo.push(number.to_string(), step(number));
        }
        drop(undo);
        assert_eq!(*seen.lock().unwrap(), [3, 2, 1]);
        assert_eq!(*failures.lock().unwrap(), ["2"]);
    }

    #[test]
    fn what_is_committed_stays() {
        let (seen, step) = recorder();
        let mut undo = Undo::new();
        undo.push("1", step(1));
        undo.commit();
        assert!(seen.lock().unwrap().is_empty());
    }

    #[test]
    fn rolling_back_returns_every_failure() {
        let (_seen, step) = recorder();
        let mut undo = Undo::new();
        undo.push("volume", step(2));
        undo.push("link", step(2));
        let steps: Vec<_> = undo.roll_back().into_iter().map(|f| f.step).collect();
        assert_eq!(steps, ["link", "volume"]);
    }
}
