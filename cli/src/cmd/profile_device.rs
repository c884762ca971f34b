//! `sc profile device`: the devices of profiles.

use sc_api::Profile;

use super::objects::device::{Add, Get, List, OneDevice, Remove, Show, WithDevices};
use super::objects::set::{Set, Unset};
use crate::verb::{Entry, Group};

/// The group.
pub struct Device;

impl Group for Device {
    const NAME: &'static str = "device";
    const ABOUT: &'static str = "Manage devices of profiles";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<Profile>>(),
        Entry::verb::<Show<Profile>>(),
        Entry::verb::<Add<Profile>>(),
        Entry::verb::<Get<Profile>>(),
        Entry::verb::<Set<OneDevice<Profile>>>(),
        Entry::verb::<Unset<OneDevice<Profile>>>(),
        Entry::verb::<Remove<Profile>>(),
    ];
}

impl WithDevices for Profile {
    const LIST: &'static str = "List a profile's devices";
    const SHOW: &'static str = "Show a profile's devices";
    const ADD: &'static str = "Add a device to a profile";
    const GET: &'static str = "Show the value of a key of a profile's device";
    const SET: &'static str = "Set keys of a profile's device";
    const UNSET: &'static str = "Remove a key of a profile's device";
    const REMOVE: &'static str = "Remove devices from a profile";
    const OF_ITS_OWN: &'static str = "";
    const ELSEWHERE: &'static str = "";
}
