//! The image that a client asks for, which may be deleted while an instance is made of it.

use sc_api::{ErrorKind, InstanceName, InstanceSource};

use super::{Images, Root, RootSource};
use crate::error::Error;

/// An image that was there when an instance was begun to be made of it.
pub struct AskedImage {
    /// As the client calls it.
    name: String,
    fingerprint: String,
}

impl AskedImage {
    /// The image that a source has named, and its root is made of; `None` where a client has named none.
    pub fn of(source: &InstanceSource, root: &Root) -> Option<Self> {
        let Ok(RootSource::Local(name)) = RootSource::of(source) else { return None };
        let fingerprint = root.fingerprint()?.to_owned();
        Some(Self { name: name.to_owned(), fingerprint })
    }
}

impl Images {
    /// Why an instance could not be made of an image: what is missed of one that was deleted meanwhile has
    /// names that the client does not know.
    pub fn of_deleted(&self, asked: &AskedImage, instance: &InstanceName, error: Error) -> Error {
        let AskedImage { name, fingerprint } = asked;
        let is_gone = self.deleting.has(fingerprint) || self.get(fingerprint).is_err();
        if error.kind() != ErrorKind::NotFound || !is_gone {
            return error;
        }
        Error::not_found(format!(
            "create instance {instance}: image {name} was deleted meanwhile: choose another image"
        ))
    }
}
