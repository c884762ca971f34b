//! Whether a request may be accepted now: a pure function of where the instance is.
//!
//! The owner task asks it before it does anything, so what is denied here has had no effect.

use crate::error::{Error, Result};

/// Where an instance is, as far as requests are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its volume is being made.
    Creating,
    /// It does not run.
    Stopped,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It was asked to stop, or what it leaves is being cleared up.
    Stopping,
    /// It is being deleted.
    Deleting,
}

/// What may be asked of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Start it.
    Start,
    /// Ask it to stop.
    Stop,
    /// Kill it.
    ForceStop,
    /// Ask it to stop, then start it.
    Restart,
    /// Kill it, then start it.
    ForceRestart,
    /// Delete it.
    Delete,
    /// Change its configuration.
    Update,
}

/// Accepts or denies a request; a denial says why in LXD's words.
pub fn admit(standing: Standing, ask: Ask) -> Result<()> {
    use Ask::{Delete, ForceRestart, ForceStop, Restart, Start, Stop, Update};
    use Standing::{Creating, Deleting, Running, Starting, Stopped, Stopping};
    match (standing, ask) {
        (Creating, _) => Err(busy("create")),
        (Deleting, _) => Err(busy("delete")),
        (Starting, _) => Err(busy("start")),
        (_, Update) => Ok(()),
        (Stopped, Start | Delete) => Ok(()),
        (Stopped, Stop | ForceStop) => Err(Error::invalid("The instance is already stopped")),
        (Stopped, Restart | ForceRestart) => Err(Error::invalid("The instance is not running")),
        (Running, Start) => Err(Error::invalid("The instance is already running")),
        (Running, Stop | ForceStop | Restart | ForceRestart) => Ok(()),
        (Running, Delete) => Err(Error::invalid("Instance is running")),
        // Force is how one gets out of a stop that takes too long.
        (Stopping, ForceStop | ForceRestart) => Ok(()),
        (Stopping, Start | Stop | Restart | Delete) => Err(busy("stop")),
    }
}

fn busy(with: &str) -> Error {
    Error::conflict(format!("Instance is busy running a \"{with}\" operation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDINGS: [Standing; 6] = [
        Standing::Creating,
        Standing::Stopped,
        Standing::Starting,
        Standing::Running,
        Standing::Stopping,
        Standing::Deleting,
    ];

    fn accepted(ask: Ask) -> Vec<Standing> {
        STANDINGS.into_iter().filter(|standing| admit(*standing, ask).is_ok()).collect()
    }

    #[test]
    fn start_is_refused_while_stopping() {
        assert!(admit(Standing::Stopping, Ask::Start).unwrap_err().chain().contains("stop"));
    }

    #[test]
    fn only_a_stopped_instance_starts_or_is_deleted() {
        assert_eq!(accepted(Ask::Start), [Standing::Stopped]);
        assert_eq!(accepted(Ask::Delete), [Standing::Stopped]);
    }

    #[test]
    fn force_gets_an_instance_out_of_a_stop_that_hangs() {
        assert_eq!(accepted(Ask::Stop), [Standing::Running]);
        assert_eq!(accepted(Ask::ForceStop), [Standing::Running, Standing::Stopping]);
        assert_eq!(accepted(Ask::ForceRestart), [Standing::Running, Standing::Stopping]);
    }

    #[test]
    fn nothing_is_accepted_while_creating_starting_or_deleting() {
        for standing in [Standing::Creating, Standing::Starting, Standing::Deleting] {
            for ask in [Ask::Start, Ask::ForceStop, Ask::Delete, Ask::Update, Ask::Restart] {
                assert!(admit(standing, ask).is_err(), "{standing:?} {ask:?}");
            }
        }
    }
}
