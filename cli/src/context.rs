//! What every verb is given: the client, and what the environment says.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sc_client::Client;

use crate::interrupt::Interrupts;
use crate::remote::Remotes;
use crate::settings::{self, Settings};
use crate::usage::wrong;

/// Where the daemon keeps its state unless `SC_DIR` says otherwise.
const DEFAULT_DIR: &str = "/var/lib/sc";

/// How long the daemon may be silent before the user is told what is waited for.
const HINT_AFTER: Duration = Duration::from_secs(5);

/// What a verb works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The local daemon's client.
    pub client: Client,
    /// The remotes.
    pub remotes: Remotes,
    /// Whether no progress is to be shown.
    pub quiet: bool,
    /// What is waited for, to be cancelled when the user interrupts.
    pub interrupts: Interrupts,
    /// The whole command line, for those who describe it.
    pub tree: fn() -> clap::Command,
}

impl Context {
    /// Reads the environment.
    pub fn from_env(quiet: bool, tree: fn() -> clap::Command) -> Result<Self> {
        // What is not there cannot be chosen; going on in the default project would surprise.
        if let Some(project) = variable("SC_PROJECT").filter(|project| project != "default") {
            return Err(wrong(format!(
                "SC_PROJECT asks for project {project:?}, but there is only \"default\""
            )));
        }
        let remotes = remotes()?;
        let interrupts = Interrupts::default();
        Ok(Self { client: client(), remotes, quiet, interrupts, tree })
    }
}

/// The daemon's client. It tells once when an answer is long in coming: to scripts, too, whose log is
/// where one looks.
fn client() -> Client {
    let told = Once::new();
    Client::unix(socket()).on_silence(HINT_AFTER, move || {
        told.call_once(|| {
            // There is nobody to tell when that fails.
            let _ = writeln!(
                std::io::stderr(),
                "The daemon has not answered yet: waiting (ctrl-c to leave off)"
            );
        });
    })
}

/// The remotes, with the one that was chosen for this command or for all.
pub fn remotes() -> Result<Remotes> {
    match variable("SC_REMOTE") {
        Some(name) => Remotes::with_default(Some(name)),
        None => settled(),
    }
}

/// The remotes with the user's own choice.
fn settled() -> Result<Remotes> {
    let chosen = Remotes::with_default(Settings::load()?.default_remote);
    chosen.with_context(|| {
        let path = settings::path().unwrap_or_default();
        format!("take the default remote from {} (SC_REMOTE=local goes without)", path.display())
    })
}

/// Where the path of the daemon's socket is from, for those whom it does not lead to a daemon.
pub fn socket_origin() -> Option<&'static str> {
    ["SC_SOCKET", "SC_DIR"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The daemon's socket.
pub fn socket() -> PathBuf {
    match std::env::var_os("SC_SOCKET").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => {
            let dir = std::env::var_os("SC_DIR").filter(|path| !path.is_empty());
            PathBuf::from(dir.unwrap_or_else(|| DEFAULT_DIR.into())).join("unix.socket")
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
