//! Which name a new instance may have.

use sc_api::InstanceName;

use super::registry::Instances;
use crate::error::{Error, Result};
use crate::manager::Claim;
use crate::model::{InstanceRecord, PROJECT};

const FIRST: [&str; 16] = [
    "able", "brisk", "calm", "deft", "eager", "fleet", "glad", "hardy", "keen", "lively", "merry",
    "noble", "prime", "quick", "sturdy", "vivid",
];
const SECOND: [&str; 16] = [
    "badger", "crane", "dolphin", "egret", "falcon", "gecko", "heron", "ibis", "jackal", "kestrel",
    "lynx", "marten", "otter", "puffin", "raven", "stoat",
];

impl Instances {
    /// A name for an instance that was given none.
    pub fn free_name(&self) -> String {
        loop {
            let [a, b, c]: [u8; 3] = rand::random();
            let (first, second) = (FIRST[usize::from(a % 16)], SECOND[usize::from(b % 16)]);
            let plain = format!("{first}-{second}");
            let numbered = format!("{plain}-{c}");
            for name in [plain, numbered] {
                if name.parse::<InstanceName>().is_ok() && self.get(&name).is_err() {
                    return name;
                }
            }
        }
    }

    /// Lets one creation at a time have a name that is nobody's.
    pub(super) fn claim_name(&self, name: &InstanceName) -> Result<Claim> {
        let claim = self.ctx().pools.claim_volume(name.as_str());
        // One that was just deleted is in the list until it has freed what it held.
        self.check_free(name)?;
        match self.ctx().store.get_doc::<InstanceRecord>(&[PROJECT, name.as_str()])? {
            Some(_) => Err(name_taken(name)),
            None => self.check_host_name(name).and(claim),
        }
    }

    /// Refuses a name by which guests would find another instance than this one.
    fn check_host_name(&self, name: &InstanceName) -> Result<()> {
        match self.same_in_dns(name)? {
            None => Ok(()),
            Some(other) => Err(Error::conflict(format!(
                "Instance \"{other}\" already exists, and \"{name}\" is the same name in DNS: choose \
                 another name"
            ))),
        }
    }

    /// Another instance that DNS does not tell apart, also one that a new daemon has not taken up yet.
    fn same_in_dns(&self, name: &InstanceName) -> Result<Option<InstanceName>> {
        let same = |other: &InstanceName| {
            other != name && other.as_str().eq_ignore_ascii_case(name.as_str())
        };
        if self.ctx().ready.is_cancelled() {
            let all = self.list();
            return Ok(all.iter().map(|instance| instance.name()).find(|one| same(one)).cloned());
        }
        let records = self.ctx().store.list_docs::<InstanceRecord>(&[PROJECT])?;
        Ok(records.into_iter().map(|record| record.value.name).find(same))
    }

    /// The refusal of a name that is taken, before anything is fetched for it.
    pub fn check_free(&self, name: &InstanceName) -> Result<()> {
        match self.get(name.as_str()) {
            Ok(_) => Err(name_taken(name)),
            Err(_) => Ok(()),
        }
    }
}

/// Refuses the name by which a guest would find itself.
pub(super) fn refuse_localhost(name: &InstanceName) -> Result<()> {
    match name.as_str().eq_ignore_ascii_case("localhost") {
        false => Ok(()),
        true => Err(Error::invalid(format!(
            "Name \"{name}\" is what every host calls itself: choose another name"
        ))),
    }
}

pub(super) fn name_taken(name: &InstanceName) -> Error {
    Error::conflict(format!("Instance \"{name}\" already exists: choose another name"))
}
