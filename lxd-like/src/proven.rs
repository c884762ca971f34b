//! What has been seen to come up: the same image with the same configuration does so again.
//!
//! The first moments of an init are watched, so that one that cannot be loaded (a library that is missing,
//! another processor, too little memory) is an error of the start. All of that is in the image and the
//! configuration. Where these have worked once since the daemon started, a launch need not wait to see it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use sc_profiles::Settings;

use crate::model::InstanceRecord;

/// More than are in use on any host; then it is begun anew.
const MOST: usize = 1024;

/// Images with configurations whose init was seen to work.
#[derive(Debug, Default)]
pub struct Proven(Mutex<HashSet<u64>>);

/// An image with a configuration. A collision costs nothing but a start that is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe(u64);

impl Recipe {
    /// What a root that has never run is made of; `None` for any other, whose guest may have changed it.
    pub fn of(record: &InstanceRecord, expanded: &Settings) -> Option<Self> {
        let image = record.image.as_ref().filter(|_| !record.started_before)?;
        let counts = |key: &&String| {
            !["volatile.", "image.", "user."].iter().any(|prefix| key.starts_with(prefix))
        };
        let config: BTreeMap<_, _> =
            expanded.config.iter().filter(|(key, _)| counts(key)).collect();
        let mut hasher = DefaultHasher::new();
        (image, config, &expanded.devices).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

impl Proven {
    /// Whether it was seen to work.
    pub fn knows(&self, recipe: Recipe) -> bool {
        self.lock().contains(&recipe.0)
    }

    /// Notes that it works.
    pub fn note(&self, recipe: Recipe) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(recipe.0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.0.lock().expect("no panic while what is proven is locked")
    }
}
