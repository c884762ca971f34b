//! Changes of profiles, as far as they concern the instances that follow them.

use std::sync::Arc;

use sc_api::{DeviceMap, Profile, ProfileName, ProfilePut};
use sc_profiles::{Effective, Origin};
use sc_store::Doc;

use super::handle::InstanceHandle;
use super::registry::Instances;
use super::view::Phase;
use super::{config, fit};
use crate::error::{Error, Result};
use crate::etag::IfMatch;
use crate::manager::Changing;
use crate::model::ProfileRecord;

impl Instances {
    /// A profile as the API shows it, with those who follow it.
    pub fn view_of_profile(&self, record: &ProfileRecord) -> Profile {
        let users = self.users_of(&record.name);
        record.view(users.iter().map(|user| path(user)).collect())
    }

    /// Creates a profile.
    pub async fn create_profile(&self, name: ProfileName, put: ProfilePut) -> Result<()> {
        sc_profiles::check_profile(&put.config, &put.devices)?;
        let held = self.ctx().hold_named(&DeviceMap::new(), &put.devices).await?;
        self.ctx().profiles.create(name, put, &held).await
    }

    /// Changes a profile, if the guard holds; running instances follow at once. Refused where one of
    /// its instances could not be what it would become. One that is being deleted has nothing to follow.
    pub async fn change_profile(
        &self,
        name: &str,
        guard: &IfMatch,
        change: impl FnOnce(ProfilePut) -> ProfilePut,
    ) -> Result<()> {
        let profiles = &self.ctx().profiles;
        let right = profiles.changing().await;
        let before = profiles.get(name)?;
        guard.check(&before.value.put())?;
        let put = change(before.value.put());
        sc_profiles::check_profile(&put.config, &put.devices)?;
        let after = ProfileRecord::with(before.value.name.clone(), put);
        for user in self.users_of(&after.name) {
            let fits = self.check_fit(&user, &after).await;
            fits.map_err(|error| concerning(&after, &user, error))?;
        }
        for user in self.commit_change(&right, &before, &after).await? {
            if let Err(error) = self.catch_up(&user).await {
                let error = concerning(&after, &user, error);
                return Err(match self.change_back(&right, &before.value).await {
                    Ok(()) => error,
                    Err(also) => {
                        let text =
                            format!("{}; and it stays changed: {}", error.chain(), also.chain());
                        Error::new(error.kind(), text)
                    }
                });
            }
        }
        Ok(())
    }

    /// The commit of a change; returns those who have to catch up. Who comes to follow the profile later
    /// finds it changed.
    async fn commit_change(
        &self,
        right: &Changing<'_>,
        before: &Doc<ProfileRecord>,
        after: &ProfileRecord,
    ) -> Result<Vec<Arc<InstanceHandle>>> {
        let alone = right.alone().await;
        let users = self.users_of(&after.name);
        for user in &users {
            // Some may have come since, and some may be others now.
            self.check_user(user, after).map_err(|error| concerning(after, user, error))?;
        }
        // Those who follow hold what they come to refer to themselves.
        let held = self.ctx().hold_named(&before.value.devices, &after.devices).await?;
        self.ctx().profiles.replace(&alone, &held, before, after).await?;
        Ok(users)
    }

    /// Has an instance take over what has become of its profile.
    async fn catch_up(&self, user: &Arc<InstanceHandle>) -> Result<()> {
        if matches!(user.view().phase, Phase::Deleting) {
            // Not waited for. Should it not be deleted after all, it catches up then.
            let (instances, user) = (self.clone(), user.clone());
            tokio::spawn(async move { instances.catch_up_or_tell(&user).await });
            return Ok(());
        }
        match user.profiles_changed().await {
            // It was deleted meanwhile, or has a new owner, who begins with what the profile is now.
            Err(_) if !self.is_there(user) => Ok(()),
            other => other,
        }
    }

    async fn catch_up_or_tell(&self, user: &Arc<InstanceHandle>) {
        match user.profiles_changed().await {
            Err(error) if self.is_there(user) => {
                tracing::error!(instance = %user.name(), error = %error.chain(),
                    "follow a change of a profile");
            }
            _ => {}
        }
    }

    /// One of a profile's instances could not follow a change, as when its guest uses more memory than
    /// it was to have: the profile is what it was, and so are those that had followed already, and those
    /// that were created in between with what it was to be.
    async fn change_back(&self, right: &Changing<'_>, before: &ProfileRecord) -> Result<()> {
        let profiles = &self.ctx().profiles;
        let alone = right.alone().await;
        let now = profiles.get(before.name.as_str())?;
        profiles.replace(&alone, &self.ctx().references.hold().await, &now, before).await?;
        let users = self.users_of(&before.name);
        drop(alone);
        for user in users {
            if let Err(error) = self.check_user(&user, before) {
                // It has come in between, and what it was started with cannot be changed while it runs.
                tracing::warn!(profile = %before.name, instance = %user.name(),
                    error = %error.chain(), "a change that was taken back stays until it is restarted");
            }
            self.catch_up_or_tell(&user).await;
        }
        Ok(())
    }

    /// Deletes a profile that no instance follows.
    pub async fn delete_profile(&self, name: &str) -> Result<()> {
        let profiles = &self.ctx().profiles;
        let right = profiles.changing().await;
        let alone = right.alone().await;
        let found = profiles.get(name)?;
        let users = self.users_of(&found.value.name);
        let users: Vec<_> = users.iter().map(|user| path(user)).collect();
        profiles.delete(&alone, &found, &users).await
    }

    /// Whether this host has what an instance would ask for with the changed profile. It may take time.
    async fn check_fit(&self, user: &Arc<InstanceHandle>, after: &ProfileRecord) -> Result<()> {
        match self.check_user(user, after)? {
            Some((before, after)) => fit::check(self.ctx(), Some(&before), &after).await,
            None => Ok(()),
        }
    }

    /// Whether an instance may follow the changed profile; returns what it comes to now and then, and
    /// `None` of one that is gone or going.
    fn check_user(
        &self,
        user: &Arc<InstanceHandle>,
        after: &ProfileRecord,
    ) -> Result<Option<(Effective, Effective)>> {
        let view = user.view();
        if matches!(view.phase, Phase::Deleting) || !self.is_there(user) {
            return Ok(None);
        }
        let mut profiles = self.ctx().profiles.get_all(&view.record.profiles)?;
        for profile in profiles.iter_mut().filter(|profile| profile.name == after.name) {
            *profile = after.clone();
        }
        config::check_profiles(&view, &profiles, Origin::Daemon).map(Some)
    }

    /// Whether a handle is still that of the instance of its name.
    fn is_there(&self, user: &Arc<InstanceHandle>) -> bool {
        self.get(user.name().as_str()).is_ok_and(|now| Arc::ptr_eq(&now, user))
    }

    fn users_of(&self, name: &ProfileName) -> Vec<Arc<InstanceHandle>> {
        let mut all = self.list();
        all.retain(|instance| instance.view().record.profiles.contains(name));
        all
    }
}

fn concerning(profile: &ProfileRecord, user: &InstanceHandle, error: Error) -> Error {
    error.within(format!("profile {}: instance {}", profile.name, user.name()))
}

fn path(user: &InstanceHandle) -> String {
    format!("/1.0/instances/{}", user.name())
}
