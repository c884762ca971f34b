//! Other names of images.

use std::collections::BTreeSet;

use sc_api::ImageAlias;
use sc_store::{CommitError, Draft, delete_doc};

use super::Images;
use crate::error::{Error, Result};
use crate::model::AliasRecord;

impl Images {
    /// The alias of this name.
    pub fn alias(&self, name: &str) -> Result<AliasRecord> {
        if name.is_empty() {
            return Err(no_such(name));
        }
        let found = self.store.get_doc::<AliasRecord>(&[name])?;
        Ok(found.ok_or_else(|| no_such(name))?.value)
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

    /// Takes all its names from an image, so many in one commit as one takes.
    pub(super) async fn remove_aliases(&self, fingerprint: &str) -> Result<()> {
        for aliases in self.aliases_of(fingerprint)?.chunks(sc_store::MAX_CHANGES) {
            let mut draft = Draft::new();
            for alias in aliases {
                draft.change(delete_doc::<AliasRecord>(&[&alias.name])?);
            }
            self.store.apply(draft).await?;
        }
        Ok(())
    }

    /// Refuses names that images have, or that are asked for twice: before an image is made that
    /// could not get them. They are taken only later, by [`Images::create_alias`].
    pub fn check_free<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
        let mut asked = BTreeSet::new();
        for name in names {
            if !asked.insert(name) {
                return Err(Error::invalid(format!("alias {name:?} is asked for twice")));
            }
            if self.alias(name).is_ok() {
                return Err(taken(name));
            }
        }
        Ok(())
    }

    /// Gives an image another name.
    pub async fn create_alias(&self, alias: AliasRecord) -> Result<()> {
        let target = self.resolve(&alias.target)?.fingerprint;
        let mut draft = Draft::new();
        draft.create(&AliasRecord { target, ..alias.clone() })?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => Err(taken(&alias.name)),
            other => Ok(other.map(drop)?),
        }
    }
}

fn no_such(name: &str) -> Error {
    Error::no_such("Image alias", name, "sc image alias list")
}

fn taken(name: &str) -> Error {
    Error::conflict(format!("Alias {name:?} already exists"))
}
