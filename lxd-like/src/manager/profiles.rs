//! Profiles: their records. What a change means for the instances that follow a profile is theirs:
//! see [`crate::instance::profile_users`].
//!
//! ```text
//! change    Changing ──[ Alone: who follows? commit ]── they catch up ──[ Alone: take back ]──> done
//! creation, update          [ Following: what do they say? commit, be in the list ]
//! ```
//!
//! One change at a time, however long its followers take. The parts in brackets exclude each other, and
//! are short: whoever comes to follow a profile either is among those that its change concerns, or comes
//! after the commit and has what it says.

use sc_api::{ErrorKind, PoolName, ProfileName, ProfilePut};
use sc_store::{CommitError, Doc, Draft, Store};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::references::Held;
use crate::error::{Error, Result};
use crate::model::{DEFAULT_PROFILE, PROJECT, ProfileRecord};

/// The profiles.
#[derive(Debug)]
pub struct Profiles {
    store: Store,
    turn: Mutex<()>,
    following: RwLock<()>,
}

/// The right to change profiles. One change at a time, so that none is lost.
#[derive(Debug)]
pub struct Changing<'a> {
    _turn: MutexGuard<'a, ()>,
    following: &'a RwLock<()>,
}

/// Nobody comes to follow a profile.
#[derive(Debug)]
pub struct Alone<'a>(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>);

/// Profiles stay as they are.
#[derive(Debug)]
pub struct Following<'a>(#[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>);

impl Profiles {
    /// The profiles in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, turn: Mutex::default(), following: RwLock::default() }
    }

    /// The profile of this name, with its revision.
    pub fn get(&self, name: &str) -> Result<Doc<ProfileRecord>> {
        let found = self.store.get_doc::<ProfileRecord>(&[PROJECT, name])?;
        found.ok_or_else(|| Error::no_such("Profile", name, "sc profile list"))
    }

    /// The profiles of these names, in their order.
    pub fn get_all(&self, names: &[ProfileName]) -> Result<Vec<ProfileRecord>> {
        let get = |name: &ProfileName| match self.get(name.as_str()) {
            Ok(found) => Ok(found.value),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::invalid(format!("Requested profile \"{name}\" doesn't exist")))
            }
            Err(error) => Err(error),
        };
        names.iter().map(get).collect()
    }

    /// All profiles.
    pub fn list(&self) -> Result<Vec<ProfileRecord>> {
        let found = self.store.list_docs::<ProfileRecord>(&[PROJECT])?;
        Ok(found.into_iter().map(|doc| doc.value).collect())
    }

    /// The pool that the default profile puts instances into.
    pub fn default_pool(&self) -> Result<Option<PoolName>> {
        let profile = self.get(DEFAULT_PROFILE)?.value;
        let pool = profile.devices.values().find_map(|device| device.get("pool"));
        Ok(pool.map(|pool| pool.parse()).transpose()?)
    }

    /// Creates a checked profile; what it names is held.
    pub async fn create(&self, name: ProfileName, put: ProfilePut, _held: &Held) -> Result<()> {
        let mut draft = Draft::new();
        draft.create(&ProfileRecord::with(name.clone(), put))?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => {
                Err(Error::conflict(format!("The profile \"{name}\" already exists")))
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Waits for the right to change profiles.
    pub async fn changing(&self) -> Changing<'_> {
        Changing { _turn: self.turn.lock().await, following: &self.following }
    }

    /// Lets them stay as they are, for an instance that comes to follow some, or others. To be asked for before
    /// [`References::hold`](super::References::hold), as changes do, and not to be held while anything
    /// is waited for that may hang: others' creations wait as well then.
    pub async fn following(&self) -> Following<'_> {
        Following(self.following.read().await)
    }

    /// Replaces a profile; what it names is held.
    pub async fn replace(
        &self,
        _alone: &Alone<'_>,
        _held: &Held,
        before: &Doc<ProfileRecord>,
        after: &ProfileRecord,
    ) -> Result<()> {
        let mut draft = Draft::new();
        draft.replace(before, after)?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => Err(Error::new(
                ErrorKind::Precondition,
                format!("profile {} was changed meanwhile: try again", after.name),
            )),
            other => Ok(other.map(drop)?),
        }
    }

    /// Deletes a profile, which nobody may use; `users` are their paths in the API.
    pub async fn delete(
        &self,
        _alone: &Alone<'_>,
        found: &Doc<ProfileRecord>,
        users: &[String],
    ) -> Result<()> {
        if found.value.name.as_str() == DEFAULT_PROFILE {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "The \"default\" profile cannot be deleted",
            ));
        }
        Error::refuse_if_used("profile", found.value.name.as_str(), users)?;
        let mut draft = Draft::new();
        draft.delete(found);
        self.store.apply(draft).await?;
        Ok(())
    }
}

impl Changing<'_> {
    /// Waits until nobody is about to follow a profile.
    pub async fn alone(&self) -> Alone<'_> {
        Alone(self.following.write().await)
    }
}
