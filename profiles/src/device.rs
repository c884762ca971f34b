//! Devices: what an instance is given of the host.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use sc_api::{ConfigMap, NetworkName, PoolName};

use crate::device_table::KINDS;
use crate::error::Error;
use crate::value::{parse_bool, parse_integer, parse_mac};

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
        let reader = Reader { name, keys };
        reader.check_name()?;
        let kind = reader.kind()?;
        reader.check_keys(kind)?;
        match kind.name {
            "none" => Ok(Self::None),
            "nic" => reader.nic().map(Self::Nic),
            "disk" => reader.disk(),
            _ => Err(reader.wrong(format!(
                "type {} is known and not honoured by this version: remove the device",
                kind.name
            ))),
        }
    }
}

/// A device being read.
struct Reader<'a> {
    name: &'a str,
    keys: &'a ConfigMap,
}

impl Reader<'_> {
    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Device { device: self.name.to_owned(), reason: reason.into() }
    }

    /// A key's value; an empty one is the same as none.
    fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn value<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        parse(value)
            .map(Some)
            .map_err(|reason| self.wrong(format!("invalid value {value:?} for {key}: {reason}")))
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.wrong(format!("{key} is missing")))
    }

    fn check_name(&self) -> Result<(), Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins = self.name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && self.name.len() <= 64 && self.name.chars().all(fits) {
            return Ok(());
        }
        Err(self.wrong(
            "a device's name has 1 to 64 letters, digits, hyphens, underscores or dots, \
             a letter or digit first",
        ))
    }

    fn kind(&self) -> Result<&'static DeviceKind, Error> {
        let kind = self.needed("type", self.get("type"))?;
        KINDS.iter().find(|known| known.name == kind).ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().filter(|k| k.honoured).map(|k| k.name).collect();
            self.wrong(format!("unknown type {kind:?}: use one of {}", known.join(", ")))
        })
    }

    fn check_keys(&self, kind: &DeviceKind) -> Result<(), Error> {
        if !kind.honoured {
            return Ok(());
        }
        for key in self.keys.keys().filter(|key| *key != "type" && self.get(key).is_some()) {
            let listed = |known: &&DeviceKey| match known.name.strip_suffix('*') {
                Some(family) => key.starts_with(family),
                None => known.name == key,
            };
            match kind.keys.iter().find(listed) {
                Some(DeviceKey { honoured: true, .. }) => {}
                Some(DeviceKey { text, .. }) => {
                    return Err(self.wrong(format!(
                        "{key} is a known key that this version does not honour ({text}): \
                         remove it"
                    )));
                }
                None => {
                    return Err(self.wrong(format!("unknown key {key:?} for type {}", kind.name)));
                }
            }
        }
        Ok(())
    }

    fn nic(&self) -> Result<Nic, Error> {
        let network = self.value("network", |text| {
            text.parse::<NetworkName>().map(|name| name.to_string()).map_err(|e| e.to_string())
        })?;
        let mtu = self.value("mtu", |text| parse_integer(text, 68, 65_535))?;
        Ok(Nic {
            device: self.name.to_owned(),
            network: self.needed("network", network)?,
            name: self.value("name", interface_name)?.unwrap_or_default(),
            hwaddr: self.value("hwaddr", parse_mac)?,
            mtu: mtu.map(|mtu| u32::try_from(mtu).expect("it is at most 65,535")),
            ipv4: self.value("ipv4.address", |text| {
                text.parse().map_err(|_| "use an IPv4 address".to_owned())
            })?,
            ipv6: self.value("ipv6.address", |text| {
                text.parse().map_err(|_| "use an IPv6 address".to_owned())
            })?,
        })
    }

    fn disk(&self) -> Result<Device, Error> {
        let path = self.value("path", absolute)?;
        let path = self.needed("path", path)?;
        if path == Path::new("/") { self.root_disk() } else { self.host_path(path) }
    }

    fn root_disk(&self) -> Result<Device, Error> {
        for key in ["source", "readonly", "required"] {
            if self.get(key).is_some() {
                return Err(self.wrong(format!("the root disk (path=/) takes no {key}")));
            }
        }
        let pool = self.value("pool", |text| {
            text.parse::<PoolName>().map(|name| name.to_string()).map_err(|e| e.to_string())
        })?;
        let pool =
            pool.ok_or_else(|| self.wrong("Root disk entry must have a \"pool\" property set"))?;
        Ok(Device::Root(RootDisk { device: self.name.to_owned(), pool }))
    }

    fn host_path(&self, path: PathBuf) -> Result<Device, Error> {
        if self.get("pool").is_some() {
            return Err(self.wrong(
                "only the root disk (path=/) may name a pool: storage volumes as devices are not \
                 honoured by this version",
            ));
        }
        let source = self.value("source", absolute)?;
        let truth = |text: &str| parse_bool(text).ok_or_else(|| "use true or false".to_owned());
        Ok(Device::Disk(Disk {
            device: self.name.to_owned(),
            source: self.needed("source", source)?,
            path,
            readonly: self.value("readonly", truth)?.unwrap_or(false),
            required: self.value("required", truth)?.unwrap_or(true),
        }))
    }
}

/// Reads an absolute path, leaving out what does not count: double slashes, `.`, a slash at the
/// end.
fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("use an absolute path".into());
    }
    if text.contains('\0') || path.components().any(|part| part == Component::ParentDir) {
        return Err("a path must not hold .. or a zero byte".into());
    }
    Ok(path.components().collect())
}

pub(crate) fn interface_name(text: &str) -> Result<String, String> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "/:%".contains(c);
    if text.is_empty() || text.len() > 15 || text.contains(forbidden) {
        return Err("an interface's name has 1 to 15 characters without space, /, : and %".into());
    }
    if ["lo", ".", "..", "all", "default"].contains(&text) {
        return Err("the kernel uses that name itself".into());
    }
    Ok(text.to_owned())
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
            &[("type", "disk"), ("pool", "default"), ("path", "/data")],
        ] {
            assert!(parse(keys).is_err(), "{keys:?}");
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
        assert!(err.contains("unknown key \"colour\""), "{err}");
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
