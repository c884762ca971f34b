//! Devices: what an instance is given of the host.

mod reader;
mod table;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use sc_api::{ConfigMap, nearest, quoted};

use self::reader::Reader;
use self::table::KINDS;
use crate::error::Error;

pub(crate) use reader::interface_name;

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
    /// the first free `ethN`. Empty where the device was read by itself and sets none.
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
    /// Its keys; none are listed of a type that is not honoured.
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

impl DeviceKind {
    /// The entry of a key, honoured or not.
    pub fn key(&self, name: &str) -> Option<&'static DeviceKey> {
        self.keys.iter().find(|known| match known.name.strip_suffix('*') {
            Some(family) => name.starts_with(family),
            None => known.name == name,
        })
    }

    /// What is said of a key that the type does not have, with what was probably meant.
    pub fn unknown(&self, key: &str) -> String {
        let honoured = self.keys.iter().filter(|known| known.honoured);
        let meant = nearest(key, honoured.map(|known| known.name.to_owned()));
        let hint = meant.map(|meant| format!(" (did you mean {}?)", quoted(&meant)));
        format!("unknown key {} for type {}{}", quoted(key), self.name, hint.unwrap_or_default())
    }
}

/// Every device type of LXD and Incus.
pub fn device_kinds() -> &'static [DeviceKind] {
    KINDS
}

impl Device {
    /// Reads one device by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for a bad name, an unknown or not honoured type or key, a wrong value, a
    /// missing key.
    pub fn parse(name: &str, keys: &ConfigMap) -> Result<Self, Error> {
        Reader { name, keys }.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(keys: &[(&str, &str)]) -> Result<Device, String> {
        let keys = keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Device::parse("dev", &keys).map_err(|err| err.to_string())
    }

    #[test]
    fn a_nic_names_a_managed_network() {
        let nic = parse(&[
            ("type", "nic"),
            ("network", "scbr0"),
            ("mtu", "1400"),
            ("hwaddr", "00:16:3E:00:00:01"),
            ("ipv4.address", "10.1.2.3"),
            ("ipv6.address", ""),
        ]);
        assert_eq!(
            nic,
            Ok(Device::Nic(Nic {
                device: "dev".into(),
                network: "scbr0".into(),
                name: String::new(),
                hwaddr: Some("00:16:3e:00:00:01".into()),
                mtu: Some(1400),
                ipv4: Some(Ipv4Addr::new(10, 1, 2, 3)),
                ipv6: None,
            }))
        );
        assert!(parse(&[("type", "nic")]).unwrap_err().contains("network is missing"));
        let bridged = parse(&[("type", "nic"), ("nictype", "bridged"), ("parent", "br0")]);
        assert!(bridged.unwrap_err().contains("nictype"));
    }

    #[test]
    fn bad_nic_values_name_their_key() {
        for (key, value) in [
            ("mtu", "20"),
            ("mtu", "x"),
            ("hwaddr", "01:00:5e:00:00:01"),
            ("ipv4.address", "10.1.2"),
            ("ipv6.address", "10.1.2.3"),
            ("name", "lo"),
            ("name", "sixteencharslong"),
            ("name", "a b"),
            ("network", "../x"),
        ] {
            let mut keys = vec![("type", "nic"), ("network", "scbr0")];
            keys.retain(|(k, _)| *k != key);
            keys.push((key, value));
            let err = parse(&keys).unwrap_err();
            assert!(err.contains(key) && err.contains(value), "{err}");
        }
    }

    #[test]
    fn the_disk_at_the_root_needs_a_pool() {
        let root = parse(&[("type", "disk"), ("path", "/"), ("pool", "default")]);
        assert_eq!(
            root,
            Ok(Device::Root(RootDisk { device: "dev".into(), pool: "default".into() }))
        );
        assert!(parse(&[("type", "disk"), ("path", "/")]).unwrap_err().contains("pool"));
        let sized =
            parse(&[("type", "disk"), ("path", "/"), ("pool", "default"), ("size", "5GiB")]);
        assert!(sized.unwrap_err().contains("size is a known key"));
        let sourced = parse(&[("type", "disk"), ("path", "//"), ("pool", "p1"), ("source", "/x")]);
        assert!(sourced.unwrap_err().contains("source"));
    }

    #[test]
    fn a_host_path_is_shown_inside() {
        let disk = parse(&[
            ("type", "disk"),
            ("source", "/srv//data/"),
            ("path", "/data/./"),
            ("readonly", "yes"),
            ("required", "no"),
        ]);
        assert_eq!(
            disk,
            Ok(Device::Disk(Disk {
                device: "dev".into(),
                source: "/srv/data".into(),
                path: "/data".into(),
                readonly: true,
                required: false,
            }))
        );
        for keys in [
            &[("type", "disk"), ("source", "srv"), ("path", "/data")],
            &[("type", "disk"), ("source", "/srv/../etc"), ("path", "/data")],
            &[("type", "disk"), ("source", "/srv"), ("path", "/../data")],
            &[("type", "disk"), ("source", "/srv"), ("path", "data")],
            &[("type", "disk"), ("source", "/srv"), ("path", "/proc/")],
            &[("type", "disk"), ("source", "/srv"), ("path", "/sys/fs/cgroup")],
            &[("type", "disk"), ("pool", "default"), ("path", "/data")],
        ] {
            assert!(parse(keys).is_err(), "{keys:?}");
        }
    }

    #[test]
    fn a_path_that_the_kernel_takes_from_nobody_is_refused() {
        let (name, deep) = (format!("/{}", "a".repeat(256)), "/aa".repeat(1366));
        for (source, path) in [(&*name, "/x"), ("/x", &*name), (&*deep, "/x"), ("/x", &*deep)] {
            let err = parse(&[("type", "disk"), ("source", source), ("path", path)]).unwrap_err();
            assert!(err.contains("bytes at most"), "{err}");
        }
    }

    #[test]
    fn other_types_and_unknown_keys_are_refused_by_name() {
        for kind in KINDS.iter().filter(|kind| !kind.honoured) {
            let err = parse(&[("type", kind.name), ("anything", "x")]).unwrap_err();
            assert!(err.contains(kind.name) && err.contains("not honoured"), "{err}");
        }
        assert!(parse(&[("type", "nonsense")]).unwrap_err().contains("nonsense"));
        assert!(parse(&[]).unwrap_err().contains("type is missing"));
        let err = parse(&[("type", "nic"), ("network", "scbr0"), ("colour", "red")]).unwrap_err();
        assert!(err.ends_with("unknown key \"colour\" for type nic"), "{err}");
        let err = parse(&[("type", "disk"), ("path", "/x"), ("sorce", "/x")]).unwrap_err();
        assert!(err.ends_with("(did you mean \"source\"?)"), "{err}");
        let err = parse(&[("type", "disk"), ("path", "/"), ("pool", "p1"), ("initial.zfs.x", "1")]);
        assert!(err.unwrap_err().contains("initial.zfs.x"));
    }

    #[test]
    fn device_names_are_plain() {
        for name in ["", "a/b", "..", "-x", "a b", &"x".repeat(65)] {
            let keys = ConfigMap::from([("type".to_owned(), "none".to_owned())]);
            assert!(Device::parse(name, &keys).is_err(), "{name:?}");
        }
    }
}
