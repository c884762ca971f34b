//! Other names of images.

use std::collections::BTreeSet;

use sc_api::{ImageAlias, ImageAliasPut};
use sc_store::{CommitError, Draft, MAX_CHANGES, delete_doc};

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

    /// Takes all its names from an image: in `last`, which deletes the image, so that it can be asked
    /// for by them for as long as it is there, and before it those that are too many for one commit.
    pub(super) async fn remove_aliases(&self, fingerprint: &str, last: &mut Draft) -> Result<()> {
        let aliases = self.aliases_of(fingerprint)?;
        let (with_image, before) = aliases.split_at(aliases.len().min(MAX_CHANGES / 2));
        for aliases in before.chunks(MAX_CHANGES) {
            let mut draft = Draft::new();
            remove_all(aliases, &mut draft)?;
            self.store.apply(draft).await?;
        }
        remove_all(with_image, last)
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
        let _names = self.naming.lock().await;
        let target = self.resolve(&alias.target)?.fingerprint;
        let mut draft = Draft::new();
        draft.create(&AliasRecord { target, ..alias.clone() })?;
        match self.store.apply(draft).await {
            Err(CommitError::Conflict { .. }) => Err(taken(&alias.name)),
            other => Ok(other.map(drop)?),
        }
    }

    /// Points a name at another image.
    pub async fn replace_alias(&self, name: &str, put: ImageAliasPut) -> Result<()> {
        let _names = self.naming.lock().await;
        let alias = self.alias(name)?;
        let target = self.resolve(&put.target)?.fingerprint;
        let mut draft = Draft::new();
        draft.put(&AliasRecord { description: put.description, target, ..alias })?;
        self.store.apply(draft).await?;
        Ok(())
    }

    /// Takes a name away.
    pub async fn delete_alias(&self, name: &str) -> Result<()> {
        let _names = self.naming.lock().await;
        let alias = self.alias(name)?;
        let mut draft = Draft::new();
        draft.change(delete_doc::<AliasRecord>(&[&alias.name])?);
        self.store.apply(draft).await?;
        Ok(())
    }
}

fn remove_all(aliases: &[ImageAlias], draft: &mut Draft) -> Result<()> {
    for alias in aliases {
        draft.change(delete_doc::<AliasRecord>(&[&alias.name])?);
    }
    Ok(())
}

fn no_such(name: &str) -> Error {
    Error::no_such("Image alias", name, "sc image alias list")
}

fn taken(name: &str) -> Error {
    Error::conflict(format!("Alias {name:?} already exists"))
}
