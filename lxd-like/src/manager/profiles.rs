//! Profiles: records, and the instances that follow them.

use std::sync::Arc;

use sc_api::{ErrorKind, Profile, ProfileName, ProfilePut};
use sc_profiles::Origin;
use sc_store::{CommitError, Doc, Draft, Store};

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::etag::IfMatch;
use crate::instance::{self, InstanceHandle};
use crate::model::{DEFAULT_PROFILE, PROJECT, ProfileRecord};

/// The profiles.
#[derive(Debug, Clone)]
pub struct Profiles {
    store: Store,
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Profiles {
    /// The profiles in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, changing: Arc::default() }
    }

    /// The profile of this name, with its revision.
    pub fn get(&self, name: &str) -> Result<Doc<ProfileRecord>> {
        let found = self.store.get_doc::<ProfileRecord>(&[PROJECT, name])?;
        found.ok_or_else(|| Error::not_found("Profile not found"))
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

    /// Creates a profile.
    pub async fn create(&self, name: ProfileName, put: ProfilePut) -> Result<()> {
        sc_profiles::check_profile(&put.config, &put.devices)?;
        let mut draft = Draft::new();
        draft.create(&ProfileRecord::with(name.clone(), put))?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => {
                Err(Error::conflict(format!("The profile \"{name}\" already exists")))
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Changes a profile, if the guard holds. One change at a time, so that none is lost.
    pub async fn change(
        &self,
        ctx: &Ctx,
        name: &str,
        guard: &IfMatch,
        change: impl FnOnce(ProfilePut) -> ProfilePut,
    ) -> Result<()> {
        let _one = self.changing.lock().await;
        let before = self.get(name)?;
        guard.check(&before.value.put())?;
        let put = change(before.value.put());
        self.replace(ctx, &before, put).await
    }

    /// Replaces a profile; its running instances follow at once. Refused where one of its
    /// instances could not be what it would become.
    async fn replace(&self, ctx: &Ctx, before: &Doc<ProfileRecord>, put: ProfilePut) -> Result<()> {
        sc_profiles::check_profile(&put.config, &put.devices)?;
        let after = ProfileRecord::with(before.value.name.clone(), put);
        let users = users(ctx, &after.name);
        for user in &users {
            self.check_user(user, &after)?;
        }
        let mut draft = Draft::new();
        draft.replace(before, &after)?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => {
                return Err(Error::new(
                    ErrorKind::Precondition,
                    format!("profile {} was changed meanwhile: try again", after.name),
                ));
            }
            other => other?,
        };
        for user in users {
            user.profiles_changed().await.map_err(|error| {
                error.within(format!("profile {}: instance {}", after.name, user.name()))
            })?;
        }
        Ok(())
    }

    /// Deletes a profile that nobody uses.
    pub async fn delete(&self, ctx: &Ctx, name: &str) -> Result<()> {
        let found = self.get(name)?;
        if name == DEFAULT_PROFILE {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "The \"default\" profile cannot be deleted",
            ));
        }
        if !users(ctx, &found.value.name).is_empty() {
            return Err(Error::invalid("Profile is currently in use"));
        }
        let mut draft = Draft::new();
        draft.delete(&found);
        self.store.apply(draft).await?;
        Ok(())
    }

    /// As the API shows it.
    pub fn view(&self, ctx: &Ctx, record: &ProfileRecord) -> Profile {
        let path = |user: &Arc<InstanceHandle>| format!("/1.0/instances/{}", user.name());
        record.view(users(ctx, &record.name).iter().map(path).collect())
    }

    /// Whether an instance may follow the changed profile.
    fn check_user(&self, user: &InstanceHandle, after: &ProfileRecord) -> Result<()> {
        let view = user.view();
        let mut profiles = self.get_all(&view.record.profiles)?;
        for profile in profiles.iter_mut().filter(|profile| profile.name == after.name) {
            *profile = after.clone();
        }
        instance::check_profiles(&view, &profiles, Origin::Daemon).map_err(|error| {
            error.within(format!("profile {}: instance {}", after.name, user.name()))
        })
    }
}

/// The instances that use a profile.
fn users(ctx: &Ctx, name: &ProfileName) -> Vec<Arc<InstanceHandle>> {
    let mut all = ctx.instances.list();
    all.retain(|instance| instance.view().record.profiles.contains(name));
    all
}
