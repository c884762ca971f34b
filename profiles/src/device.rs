//! Devices: what an instance is given of the host.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// A device, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A network interface.
    Nic(Nic),
    /// The root disk.
    Root(RootDisk),
    /// A host path shown inside.
    Disk(Disk),
    /// Takes away a device of the same name that a profile gives.
    None,
}

/// A network interface on a managed bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The device's name in the configuration.
    pub device: String,
    /// The managed network.
    pub network: String,
    /// The interface's name inside: the device's `name`, what was kept of an earlier start, or
    /// the first free `ethN`.
    pub name: String,
    /// The hardware address: the device's `hwaddr` or the one kept; `None` until one was made.
    pub hwaddr: Option<String>,
    /// In bytes; `None` takes the bridge's.
    pub mtu: Option<u32>,
    /// A fixed address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed address.
    pub ipv6: Option<Ipv6Addr>,
}

/// A host path shown inside, with the guest's ownership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The device's name in the configuration.
    pub device: String,
    /// On the host, absolute.
    pub source: PathBuf,
    /// In the guest, absolute, not `/`, without `.` and `..`.
    pub path: PathBuf,
    /// Whether the guest may only read.
    pub readonly: bool,
    /// Whether the instance may not start where the source is missing.
    pub required: bool,
}

/// The root disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootDisk {
    /// The device's name in the configuration.
    pub device: String,
    /// The storage pool that holds the volume.
    pub pool: String,
}

/// One type of device and what is known about it.
#[derive(Debug)]
pub struct DeviceKind {
    /// The value of `type`.
    pub name: &'static str,
    /// Whether it is honoured.
    pub honoured: bool,
    /// What it is.
    pub text: &'static str,
    /// Its keys.
    pub keys: &'static [DeviceKey],
}

/// One key of a device.
#[derive(Debug)]
pub struct DeviceKey {
    /// Its name.
    pub name: &'static str,
    /// Whether it is honoured.
    pub honoured: bool,
    /// What it means, or why it is not honoured.
    pub text: &'static str,
}

/// Every device type of LXD and Incus.
pub fn device_kinds() -> &'static [DeviceKind] {
    &[]
}
