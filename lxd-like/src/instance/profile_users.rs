//! Changes of profiles, as far as they concern the instances that follow them.

use std::sync::Arc;

use sc_api::{DeviceMap, Profile, ProfileName, ProfilePut};
use sc_profiles::Origin;

use super::handle::InstanceHandle;
use super::registry::Instances;
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
    /// its instances could not be what it would become.
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
        let users = self.users_of(&after.name);
        let concerning = |user: &InstanceHandle, error: Error| {
            error.within(format!("profile {}: instance {}", after.name, user.name()))
        };
        for user in &users {
            self.check_user(user, &after).await.map_err(|error| concerning(user, error))?;
        }
        let held = self.ctx().hold_named(&before.value.devices, &after.devices).await?;
        profiles.replace(&right, &held, &before, &after).await?;
        // Those who follow hold what they come to refer to themselves.
        drop(held);
        for user in &users {
            if let Err(error) = user.profiles_changed().await {
                self.change_back(&right, &before.value, &users).await?;
                return Err(concerning(user, error));
            }
        }
        Ok(())
    }

    /// One of a profile's instances could not follow a change, as when its guest uses more memory than
    /// it was to have: the profile is what it was, and so are those that had followed already.
    async fn change_back(
        &self,
        right: &Changing<'_>,
        before: &ProfileRecord,
        users: &[Arc<InstanceHandle>],
    ) -> Result<()> {
        let profiles = &self.ctx().profiles;
        let now = profiles.get(before.name.as_str())?;
        profiles.replace(right, &self.ctx().references.hold().await, &now, before).await?;
        for user in users {
            if let Err(error) = user.profiles_changed().await {
                tracing::error!(profile = %before.name, instance = %user.name(),
                    error = %error.chain(), "take a change of a profile back");
            }
        }
        Ok(())
    }

    /// Deletes a profile that no instance follows.
    pub async fn delete_profile(&self, name: &str) -> Result<()> {
        let profiles = &self.ctx().profiles;
        let _right = profiles.changing().await;
        let found = profiles.get(name)?;
        let users = self.users_of(&found.value.name);
        let users: Vec<_> = users.iter().map(|user| path(user)).collect();
        profiles.delete(&found, &users).await
    }

    /// Whether an instance may follow the changed profile.
    async fn check_user(&self, user: &InstanceHandle, after: &ProfileRecord) -> Result<()> {
        let view = user.view();
        let mut profiles = self.ctx().profiles.get_all(&view.record.profiles)?;
        for profile in profiles.iter_mut().filter(|profile| profile.name == after.name) {
            *profile = after.clone();
        }
        let (before, after) = config::check_profiles(&view, &profiles, Origin::Daemon)?;
        fit::check(self.ctx(), Some(&before), &after).await
    }

    fn users_of(&self, name: &ProfileName) -> Vec<Arc<InstanceHandle>> {
        let mut all = self.list();
        all.retain(|instance| instance.view().record.profiles.contains(name));
        all
    }
}

fn path(user: &InstanceHandle) -> String {
    format!("/1.0/instances/{}", user.name())
}
