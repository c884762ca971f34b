//! Profiles.

use http::Method;
use sc_api::{Profile, ProfilePut, ProfilesPost};

use crate::client::Client;
use crate::error::Result;
use crate::resource::{Tagged, path};

impl Client {
    /// All profiles.
    pub async fn profiles(&self) -> Result<Vec<Profile>> {
        self.get("/1.0/profiles?recursion=1").await
    }

    /// One profile.
    pub async fn profile(&self, name: &str) -> Result<Tagged<Profile>> {
        self.get_tagged(&path(&["profiles", name])).await
    }

    /// Creates a profile.
    pub async fn create_profile(&self, post: &ProfilesPost) -> Result<()> {
        self.submit(Method::POST, "/1.0/profiles", post).await
    }

    /// Replaces a profile, and with it the configuration of its instances.
    pub async fn replace_profile(
        &self,
        name: &str,
        put: &ProfilePut,
        etag: Option<&str>,
    ) -> Result<()> {
        self.submit_if(Method::PUT, &path(&["profiles", name]), put, etag).await
    }

    /// Deletes a profile that nothing uses.
    pub async fn delete_profile(&self, name: &str) -> Result<()> {
        self.delete(&path(&["profiles", name])).await
    }
}
