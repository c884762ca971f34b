//! Images and their aliases. Uploads are in [`crate::upload`].

use http::Method;
use sc_api::{Image, ImageAlias, ImageAliasesPost, ImagesPost, Operation};

use crate::client::Client;
use crate::error::Result;
use crate::resource::{Tagged, path};

impl Client {
    /// All images.
    pub async fn images(&self) -> Result<Vec<Image>> {
        self.get("/1.0/images?recursion=1").await
    }

    /// The image with this fingerprint, or the only one whose fingerprint begins so.
    pub async fn image(&self, fingerprint: &str) -> Result<Tagged<Image>> {
        self.get_tagged(&path(&["images", fingerprint])).await
    }

    /// The image that an alias, a fingerprint or a beginning of one names.
    pub async fn find_image(&self, name: &str) -> Result<Tagged<Image>> {
        match self.image_alias(name).await {
            Ok(alias) => self.image(&alias.target).await,
            Err(error) if error.kind() == sc_api::ErrorKind::NotFound => self.image(name).await,
            Err(error) => Err(error),
        }
    }

    /// Has the server fetch an image from a remote.
    pub async fn fetch_image(&self, post: &ImagesPost) -> Result<Operation> {
        self.start(Method::POST, "/1.0/images", post).await
    }

    /// Deletes an image.
    pub async fn delete_image(&self, fingerprint: &str) -> Result<Operation> {
        self.start_delete(&path(&["images", fingerprint])).await
    }

    /// All aliases.
    pub async fn image_aliases(&self) -> Result<Vec<ImageAlias>> {
        self.get("/1.0/images/aliases?recursion=1").await
    }

    /// One alias.
    pub async fn image_alias(&self, name: &str) -> Result<ImageAlias> {
        self.get(&path(&["images", "aliases", name])).await
    }

    /// Creates an alias.
    pub async fn create_image_alias(&self, post: &ImageAliasesPost) -> Result<()> {
        self.submit(Method::POST, "/1.0/images/aliases", post).await
    }

    /// Deletes an alias; the image stays.
    pub async fn delete_image_alias(&self, name: &str) -> Result<()> {
        self.delete(&path(&["images", "aliases", name])).await
    }
}
