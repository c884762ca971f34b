//! The objects of one kind: what stands for each of the store's outside, or why nothing does.
//!
//! Creation and deletion of one object exclude each other by its claim. A deletion that has begun is
//! finished, by the next deletion or the next daemon: its entry in the journal stays until then. A
//! creation that has failed is taken back; where even that fails, its entry stays for the next creation
//! of the same, or the next daemon. Neither entry outlives that: a daemon would obey it long after.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use sc_api::ErrorKind;
use sc_store::{IntentId, Journal};

use super::references::{Claim, Claims};
use crate::error::{Error, Result};
use crate::model::Intent;

/// The objects of one kind; `T` is a handle to what stands outside for one.
#[derive(Debug)]
pub struct Roster<T> {
    /// What one is called at the beginning of a sentence.
    kind: &'static str,
    /// The command that shows them.
    list: &'static str,
    changing: Claims,
    turns: AtomicU64,
    all: RwLock<BTreeMap<String, Standing<T>>>,
}

/// How an object of the store is.
#[derive(Debug)]
enum Standing<T> {
    Up(T),
    /// It has not answered yet.
    Opening(Turn),
    /// It cannot be used; why not.
    Down(String),
}

/// One opening of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u64);

impl<T: Clone> Roster<T> {
    /// No object yet; `list` is the command that shows them.
    pub fn new(kind: &'static str, list: &'static str) -> Self {
        Self {
            kind,
            list,
            changing: Claims::default(),
            turns: AtomicU64::new(0),
            all: RwLock::default(),
        }
    }

    /// What one is called within a sentence.
    pub fn kind(&self) -> String {
        self.kind.to_lowercase()
    }

    /// Claims a name for one request that creates or deletes.
    pub fn claim(&self, name: &str) -> Result<Claim> {
        self.changing.claim(&self.kind(), name)
    }

    /// The handle of one that is up.
    pub fn get(&self, name: &str) -> Result<T> {
        match self.all.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            Some(Standing::Up(handle)) => Ok(handle.clone()),
            Some(Standing::Down(why)) => Err(self.unusable(name, why)),
            Some(Standing::Opening(_)) => Err(self.unusable(
                name,
                "it does not answer, and is used as soon as it does: see to its disk or file system",
            )),
            None => Err(self.not_found(name)),
        }
    }

    fn unusable(&self, name: &str, why: &str) -> Error {
        let text = format!("{} {name} cannot be used: {why}", self.kind());
        Error::new(ErrorKind::Unavailable, text)
    }

    /// All that are up, by name.
    pub fn all(&self) -> Vec<(String, T)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let up = |(name, standing): (&String, &Standing<T>)| match standing {
            Standing::Up(handle) => Some((name.clone(), handle.clone())),
            Standing::Opening(_) | Standing::Down(_) => None,
        };
        all.iter().filter_map(up).collect()
    }

    /// Notes that one is up.
    pub fn up(&self, name: &str, handle: T) {
        self.set(name, Standing::Up(handle));
    }

    /// Notes that one cannot be used in this life of the daemon.
    pub fn down(&self, name: &str, why: &Error) {
        let down = self.cannot_be_used(name, why);
        self.set(name, down);
    }

    fn cannot_be_used(&self, name: &str, why: &Error) -> Standing<T> {
        tracing::error!(name, error = %why.chain(), "{} cannot be used", self.kind());
        Standing::Down(format!("{}; mend that and restart the daemon", why.chain()))
    }

    /// Notes that one is being opened, which may take long. Returns what [`opened`](Self::opened) has to know.
    pub fn opening(&self, name: &str) -> Turn {
        let turn = Turn(self.turns.fetch_add(1, Ordering::Relaxed));
        self.set(name, Standing::Opening(turn));
        turn
    }

    /// Whether one is still being opened.
    pub fn is_opening(&self, name: &str) -> bool {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        matches!(all.get(name), Some(Standing::Opening(_)))
    }

    /// Notes what came of an opening, unless it was overtaken by a deletion. Returns whether it is up.
    pub fn opened(&self, name: &str, turn: Turn, opened: Result<T>) -> bool {
        let standing = match opened {
            Ok(handle) => Standing::Up(handle),
            Err(why) => self.cannot_be_used(name, &why),
        };
        let up = matches!(standing, Standing::Up(_));
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let current = matches!(all.get(name), Some(Standing::Opening(now)) if *now == turn);
        if current {
            all.insert(name.to_owned(), standing);
        }
        current && up
    }

    /// Notes that one is being deleted; returns its handle.
    pub fn going(&self, name: &str) -> Option<T> {
        let why = "it is being deleted; where that has failed, delete it again".to_owned();
        self.set(name, Standing::Down(why))
    }

    /// One is no more; returns its handle.
    pub fn gone(&self, name: &str) -> Option<T> {
        handle(self.all.write().unwrap_or_else(PoisonError::into_inner).remove(name))
    }

    /// The refusal of a name that is none's.
    pub fn not_found(&self, name: &str) -> Error {
        Error::no_such(self.kind, name, self.list)
    }

    fn set(&self, name: &str, standing: Standing<T>) -> Option<T> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        handle(all.insert(name.to_owned(), standing))
    }
}

fn handle<T>(standing: Option<Standing<T>>) -> Option<T> {
    match standing? {
        Standing::Up(handle) => Some(handle),
        Standing::Opening(_) | Standing::Down(_) => None,
    }
}

/// The journal's entry of a creation or a deletion: that of one which has failed before, or a new one.
pub(super) async fn begin_once(journal: &Journal<Intent>, wanted: &Intent) -> Result<IntentId> {
    let pending = journal.pending()?;
    match pending.into_iter().find(|(_, intent)| intent == wanted) {
        Some((id, _)) => Ok(id),
        None => Ok(journal.begin(wanted).await?),
    }
}
