//! Steps: one function numbers the steps of every operation, so that a test can make each of them
//! the last.
//!
//! A plan is one or more faults with `;` between them, each `kill@OPERATION:STEP` or
//! `fail@OPERATION:STEP`, where STEP is a number from 1 or a step's name: `kill@start:3`,
//! `fail@create:volume`. Counting begins anew with each operation. A test enumerates N until an
//! operation ends unharmed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sc_api::ErrorKind;

/// The faults planned for this process, and the steps that it has seen. Clones share both.
#[derive(Clone)]
pub struct Steps {
    shared: Arc<Shared>,
}

struct Shared {
    faults: Vec<Fault>,
    kill: Box<dyn Fn() + Send + Sync>,
    /// By operation: the names of its steps by number, as last seen.
    seen: Mutex<BTreeMap<String, Vec<String>>>,
}

/// One entry of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    effect: Effect,
    operation: String,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Kill,
    Fail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Number(u32),
    Name(String),
}

/// A text that is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid fault {fault:?}: expected kill@OPERATION:STEP or fail@OPERATION:STEP")]
pub struct PlanError {
    /// The entry.
    pub fault: String,
}

impl PlanError {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The failure that a plan asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("injected failure at step {number} of {operation} ({step})")]
pub struct Injected {
    /// The kind of operation.
    pub operation: String,
    /// The step's number, from 1.
    pub number: u32,
    /// The step's name.
    pub step: String,
}

impl Injected {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

impl FromStr for Fault {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let fail = || PlanError { fault: text.to_owned() };
        let (effect, place) = text.split_once('@').ok_or_else(fail)?;
        let effect = match effect {
            "kill" => Effect::Kill,
            "fail" => Effect::Fail,
            _ => return Err(fail()),
        };
        let (operation, step) = place.split_once(':').ok_or_else(fail)?;
        if operation.is_empty() || step.is_empty() || step == "0" {
            return Err(fail());
        }
        let at = step.parse().map_or_else(|_| At::Name(step.to_owned()), At::Number);
        Ok(Self { effect, operation: operation.to_owned(), at })
    }
}

impl Fault {
    fn is_at(&self, operation: &str, number: u32, step: &str) -> bool {
        self.operation == operation
            && match &self.at {
                At::Number(at) => *at == number,
                At::Name(at) => at == step,
            }
    }
}

impl Steps {
    /// The faults of a plan. `kill` ends the process at once, as SIGKILL does; the empty plan has
    /// no faults.
    ///
    /// # Errors
    ///
    /// Fails when the text is no plan.
    pub fn planned(plan: &str, kill: Box<dyn Fn() + Send + Sync>) -> Result<Self, PlanError> {
        let faults = plan.split(';').map(str::trim).filter(|fault| !fault.is_empty());
        Ok(Self::new(faults.map(str::parse).collect::<Result<_, _>>()?, kill))
    }

    fn new(faults: Vec<Fault>, kill: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { shared: Arc::new(Shared { faults, kill, seen: Mutex::default() }) }
    }

    /// Begins the count for one operation of a kind, such as `start`.
    pub fn operation(&self, kind: &str) -> OperationSteps {
        OperationSteps {
            shared: self.shared.clone(),
            operation: kind.to_owned(),
            number: AtomicU32::new(0),
        }
    }

    /// The steps seen so far: by kind of operation their names, the first being number 1.
    pub fn seen(&self) -> BTreeMap<String, Vec<String>> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("faults", &self.shared.faults).finish_non_exhaustive()
    }
}

/// The count of one operation.
pub struct OperationSteps {
    shared: Arc<Shared>,
    operation: String,
    number: AtomicU32,
}

impl OperationSteps {
    /// Marks that the operation has come to a step, with everything before it done. Kills the
    /// process here if that is planned.
    ///
    /// # Errors
    ///
    /// Fails where a failure is planned.
    pub fn reach(&self, step: &str) -> Result<(), Injected> {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let operation = self.operation.as_str();
        tracing::debug!(operation, number, step, "step");
        self.note(number, step);
        let here = |fault: &&Fault| fault.is_at(operation, number, step);
        let Some(fault) = self.shared.faults.iter().find(here) else { return Ok(()) };
        tracing::warn!(operation, number, step, effect = ?fault.effect, "planned fault");
        if fault.effect == Effect::Kill {
            (self.shared.kill)();
        }
        Err(Injected { operation: operation.to_owned(), number, step: step.to_owned() })
    }

    /// How many steps it has come to.
    pub fn reached(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    fn note(&self, number: u32, step: &str) {
        let index = number as usize - 1;
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let names = seen.entry(self.operation.clone()).or_default();
        if names.len() <= index {
            names.resize(index + 1, String::new());
        }
        step.clone_into(&mut names[index]);
    }
}

impl fmt::Debug for OperationSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationSteps")
            .field("operation", &self.operation)
            .field("reached", &self.reached())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn planned(plan: &str) -> Steps {
        Steps::planned(plan, Box::new(|| panic!("killed"))).unwrap()
    }

    #[test]
    fn a_step_is_named_by_number_or_by_name() {
        for plan in ["fail@launch:2", "fail@launch:volume made", " fail@launch:2 ; kill@delete:1"] {
            let operation = planned(plan).operation("launch");
            operation.reach("intent written").unwrap();
            let injected = operation.reach("volume made").unwrap_err();
            assert_eq!(
                injected.to_string(),
                "injected failure at step 2 of launch (volume made)",
                "{plan}"
            );
            operation.reach("link made").unwrap();
            assert_eq!(operation.reached(), 3);
        }
    }

    #[test]
    fn each_operation_is_counted_from_one() {
        let steps = planned("fail@launch:2");
        let (first, second) = (steps.operation("launch"), steps.operation("launch"));
        first.reach("a").unwrap();
        second.reach("a").unwrap();
        assert!(first.reach("b").is_err() && second.reach("b").is_err());
        let other = steps.operation("delete");
        other.reach("a").unwrap();
        other.reach("b").unwrap();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(steps.seen()["launch"], names(&["a", "b"]));
        assert_eq!(steps.seen()["delete"], names(&["a", "b"]));
    }

    #[test]
    fn a_planned_kill_kills() {
        let killed = Arc::new(AtomicBool::new(false));
        let flag = killed.clone();
        let kill = Box::new(move || flag.store(true, Ordering::Relaxed));
        let operation = Steps::planned("kill@launch:2", kill).unwrap().operation("launch");
        operation.reach("a").unwrap();
        assert!(!killed.load(Ordering::Relaxed));
        assert!(operation.reach("b").is_err());
        assert!(killed.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for plan in ["launch:3", "kill@launch", "kill@:3", "kill@launch:", "kill@launch:0", "x@a:1"]
        {
            let error = Steps::planned(plan, Box::new(|| ())).unwrap_err();
            assert_eq!(error.fault, plan);
        }
        assert!(Steps::planned("", Box::new(|| ())).is_ok());
    }
}
