//! The image that a client asks for, which may be deleted while an instance is made of it.

use sc_api::{ErrorKind, InstanceName, InstanceSource};

use super::{Images, RootSource};
use crate::error::Error;

/// An image that was there when a client asked for it.
pub struct AskedImage {
    /// As the client calls it.
    name: String,
    fingerprint: String,
}

impl Images {
    /// The image that a source names; `None` where it names none, or there is no such.
    pub fn asked(&self, source: &InstanceSource) -> Option<AskedImage> {
        let Ok(RootSource::Local(name)) = RootSource::of(source) else { return None };
        let fingerprint = self.resolve(name).ok()?.fingerprint;
        Some(AskedImage { name: name.to_owned(), fingerprint })
    }

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
