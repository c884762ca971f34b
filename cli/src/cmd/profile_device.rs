//! `sc profile device`: the devices of profiles.

use sc_api::Profile;

use super::objects::device::{Add, List, Remove, Set, WithDevices};
use crate::verb::{Entry, Group};

/// The group.
pub struct Device;

impl Group for Device {
    const NAME: &'static str = "device";
    const ABOUT: &'static str = "Manage devices of profiles";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List<Profile>>(),
        Entry::verb::<Add<Profile>>(),
        Entry::verb::<Set<Profile>>(),
        Entry::verb::<Remove<Profile>>(),
    ];
}

impl WithDevices for Profile {
    const LIST: &'static str = "List a profile's devices";
    const ADD: &'static str = "Add a device to a profile";
    const SET: &'static str = "Set keys of a profile's device";
    const REMOVE: &'static str = "Remove devices from a profile";
    const ELSEWHERE: &'static str = "";

    fn lacks(device: &str) -> String {
        format!("the profile has no device {device:?}")
    }
}
