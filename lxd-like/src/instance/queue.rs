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
    /// Its agent does not answer.
    Silent,
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

/// Accepts or denies a request; a denial says why in LXD's words, with the name.
pub fn admit(name: &str, standing: Standing, ask: Ask) -> Result<()> {
    use Ask::{Delete, ForceRestart, ForceStop, Restart, Start, Stop, Update};
    use Standing::{Creating, Deleting, Running, Silent, Starting, Stopped, Stopping};
    let busy = |with| {
        Err(Error::conflict(format!("Instance {name:?} is busy running a \"{with}\" operation")))
    };
    let the_instance = |is| Err(Error::invalid(format!("The instance {name:?} {is}")));
    match (standing, ask) {
        (Creating, _) => busy("create"),
        (Deleting, _) => busy("delete"),
        (Starting, _) => busy("start"),
        // Its guest is killed without the agent.
        (Silent, ForceStop) => Ok(()),
        (Silent, _) => Err(silent(name)),
        (_, Update) => Ok(()),
        (Stopped, Start | Delete) => Ok(()),
        (Stopped, Stop | ForceStop) => the_instance("is already stopped"),
        (Stopped, Restart | ForceRestart) => the_instance("is not running: start it first"),
        (Running, Start) => the_instance("is already running"),
        (Running, Stop | ForceStop | Restart | ForceRestart) => Ok(()),
        (Running, Delete) => the_instance("is running: stop it first"),
        // Force is how one gets out of a stop that takes too long.
        (Stopping, ForceStop | ForceRestart) => Ok(()),
        (Stopping, Start | Stop | Restart | Delete) => busy("stop"),
    }
}

/// What is said of an instance whose agent does not answer.
pub fn silent(name: &str) -> Error {
    Error::new(
        sc_api::ErrorKind::Unavailable,
        format!(
            "Instance {name:?} is not to be reached: its agent does not answer (it goes on when the agent \
             does; or kill the guest: sc stop --force {name})"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDINGS: [Standing; 7] = [
        Standing::Creating,
        Standing::Stopped,
        Standing::Starting,
        Standing::Running,
        Standing::Stopping,
        Standing::Silent,
        Standing::Deleting,
    ];

    fn accepted(ask: Ask) -> Vec<Standing> {
        STANDINGS.into_iter().filter(|standing| admit("c1", *standing, ask).is_ok()).collect()
    }

    #[test]
    fn start_is_refused_while_stopping() {
        let denied = admit("c1", Standing::Stopping, Ask::Start).unwrap_err().chain();
        assert!(denied.ends_with("busy running a \"stop\" operation"), "{denied}");
    }

    #[test]
    fn every_denial_names_the_instance() {
        let asks = [Ask::Start, Ask::Stop, Ask::ForceStop, Ask::Restart, Ask::Delete, Ask::Update];
        let denials = STANDINGS
            .iter()
            .flat_map(|standing| asks.iter().filter_map(|ask| admit("c1", *standing, *ask).err()));
        for denial in denials {
            assert!(denial.chain().contains("nstance \"c1\" is "), "{}", denial.chain());
        }
        let running = admit("c1", Standing::Running, Ask::Start).unwrap_err();
        assert_eq!(running.chain(), "The instance \"c1\" is already running");
    }

    #[test]
    fn only_a_stopped_instance_starts_or_is_deleted() {
        assert_eq!(accepted(Ask::Start), [Standing::Stopped]);
        assert_eq!(accepted(Ask::Delete), [Standing::Stopped]);
    }

    #[test]
    fn force_gets_an_instance_out_of_a_stop_that_hangs() {
        assert_eq!(accepted(Ask::Stop), [Standing::Running]);
        assert_eq!(
            accepted(Ask::ForceStop),
            [Standing::Running, Standing::Stopping, Standing::Silent]
        );
        assert_eq!(accepted(Ask::ForceRestart), [Standing::Running, Standing::Stopping]);
    }

    #[test]
    fn nothing_is_accepted_while_creating_starting_or_deleting() {
        for standing in [Standing::Creating, Standing::Starting, Standing::Deleting] {
            for ask in [Ask::Start, Ask::ForceStop, Ask::Delete, Ask::Update, Ask::Restart] {
                let denied = admit("c1", standing, ask).unwrap_err().chain();
                assert!(denied.starts_with("Instance \"c1\" is busy running a "), "{denied}");
            }
        }
    }
}
