//! Who refers to pools and networks, and the right to decide that nobody does.
//!
//! A pool or network is deleted only while nobody refers to it. Between the look and the deletion
//! nobody may come to do so: whoever writes down a reference holds [`Held`] from the look at what it
//! refers to until that is committed, and whoever deletes [`Settled`] from the look at who refers to it
//! until it can be found no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use sc_api::ErrorKind;
use sc_store::Store;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::error::{Error, Result};
use crate::model::{InstanceRecord, PROJECT, ProfileRecord};

/// The references of one daemon. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct References(Arc<RwLock<()>>);

/// What is referred to stays there.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held")] OwnedRwLockReadGuard<()>);

/// Nobody comes to refer to anything.
#[derive(Debug)]
pub struct Settled(#[expect(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>);

impl References {
    /// Lets what will be referred to stay. Not to be asked for by one who holds it already.
    pub async fn hold(&self) -> Held {
        Held(self.0.clone().read_owned().await)
    }

    /// Waits until nobody is about to refer to anything.
    pub async fn settle(&self) -> Settled {
        Settled(self.0.clone().write_owned().await)
    }
}

/// Paths in the API of the instances for which `instance` holds, and of the profiles that have a device
/// for which `device` does.
pub(super) fn users(
    store: &Store,
    instance: impl Fn(&InstanceRecord) -> bool,
    device: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for found in store.list_docs::<InstanceRecord>(&[PROJECT])? {
        if instance(&found.value) {
            paths.push(format!("/1.0/instances/{}", found.value.name));
        }
    }
    for found in store.list_docs::<ProfileRecord>(&[PROJECT])? {
        if found.value.devices.values().any(&device) {
            paths.push(format!("/1.0/profiles/{}", found.value.name));
        }
    }
    Ok(paths)
}

/// The refusal of a device that names what is not there, in LXD's words; `remedy` says how to have it.
pub(super) fn no_device(device: &str, error: Error, remedy: &str) -> Error {
    let error = match error.kind() {
        // Of the request: what is asked for by its path is there.
        ErrorKind::NotFound => {
            Error::invalid(format!("{}, or make it with {remedy}", error.chain()))
        }
        _ => error,
    };
    error.within(format!("Device validation failed for {device:?}"))
}

/// Names that are being created or deleted, each by one request at a time. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<BTreeSet<String>>>);

/// A name is this request's alone.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    name: String,
}

impl Claims {
    /// Claims a name; refused where another request has it. `kind` says what it is the name of.
    pub fn claim(&self, kind: &str, name: &str) -> Result<Claim> {
        let mut taken = self.0.lock().expect("no panic while claims are locked");
        match taken.insert(name.to_owned()) {
            true => Ok(Claim { claims: self.clone(), name: name.to_owned() }),
            false => Err(Error::conflict(format!(
                "{kind} {name} is just being created or deleted: try again"
            ))),
        }
    }

    /// Whether a request has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.lock().expect("no panic while claims are locked").contains(name)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().expect("no panic while claims are locked").remove(&self.name);
    }
}
