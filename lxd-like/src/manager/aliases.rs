//! Other names of images.

use sc_api::ImageAlias;
use sc_store::{CommitError, Draft};

use super::Images;
use crate::error::{Error, Result};
use crate::model::AliasRecord;

impl Images {
    /// The alias of this name.
    pub fn alias(&self, name: &str) -> Result<AliasRecord> {
        if name.is_empty() {
            return Err(Error::not_found(format!("Image alias {name:?} not found")));
        }
        let found = self.store.get_doc::<AliasRecord>(&[name])?;
        Ok(found.ok_or_else(|| Error::not_found(format!("Image alias {name:?} not found")))?.value)
    }

    /// Every alias of an image.
    pub fn aliases_of(&self, fingerprint: &str) -> Result<Vec<ImageAlias>> {
        let all = self.store.list_docs::<AliasRecord>(&[])?;
        let of_it = all.into_iter().filter(|doc| doc.value.target == fingerprint);
        Ok(of_it
            .map(|doc| ImageAlias {
                name: doc.value.name,
                description: doc.value.description,
                target: String::new(),
                alias_type: String::new(),
            })
            .collect())
    }

    /// Gives an image another name.
    pub async fn create_alias(&self, alias: AliasRecord) -> Result<()> {
        let target = self.resolve(&alias.target)?.fingerprint;
        let mut draft = Draft::new();
        draft.create(&AliasRecord { target, ..alias.clone() })?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => {
                Err(Error::conflict(format!("Alias \"{}\" already exists", alias.name)))
            }
            other => Ok(other.map(drop)?),
        }
    }
}
