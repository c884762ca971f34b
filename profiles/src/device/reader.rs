//! Reading one device: its name, its type, then what the type's keys say.

use std::path::{Component, Path, PathBuf};

use sc_api::{ConfigMap, NetworkName, PoolName, plain, quoted};

use super::table::KINDS;
use super::{Device, DeviceKey, DeviceKind, Disk, Nic, RootDisk};
use crate::error::Error;
use crate::value::{parse_bool, parse_integer, parse_mac};

/// The bytes that a path may have, without the zero at its end.
const PATH_MAX: usize = 4095;

/// The bytes that a file's name may have.
const NAME_MAX: usize = 255;

/// File systems without which no guest comes up.
const OURS: [&str; 5] = ["/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts"];

/// A device being read.
pub(super) struct Reader<'a> {
    pub(super) name: &'a str,
    pub(super) keys: &'a ConfigMap,
}

impl Reader<'_> {
    pub(super) fn read(&self) -> Result<Device, Error> {
        self.check_name()?;
        let kind = self.kind()?;
        self.check_keys(kind)?;
        match kind.name {
            "none" => Ok(Device::None),
            "nic" => self.nic().map(Device::Nic),
            "disk" => self.disk(),
            _ => Err(self.wrong(format!(
                "type {} is known and not honoured by this version: remove the device",
                kind.name
            ))),
        }
    }

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
        parse(value).map(Some).map_err(|reason| {
            self.wrong(format!("invalid value {} for {key}: {reason}", quoted(value)))
        })
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
            self.wrong(format!("unknown type {}: use one of {}", quoted(kind), known.join(", ")))
        })
    }

    fn check_keys(&self, kind: &DeviceKind) -> Result<(), Error> {
        if !kind.honoured {
            return Ok(());
        }
        for key in self.keys.keys().filter(|key| *key != "type" && self.get(key).is_some()) {
            match kind.key(key) {
                Some(DeviceKey { honoured: true, .. }) => {}
                Some(DeviceKey { text, .. }) => {
                    return Err(self.wrong(format!(
                        "{} is a known key that this version does not honour ({text}): remove it",
                        plain(key, 160)
                    )));
                }
                None => return Err(self.wrong(kind.unknown(key))),
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
        if OURS.iter().any(|ours| path == Path::new(ours)) {
            let path = path.display();
            return Err(self.wrong(format!("path {path} is what every guest has of its own")));
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
    check_length(path)?;
    Ok(path.components().collect())
}

/// Refuses what no call of the kernel takes as a path (`path_resolution(7)`).
fn check_length(path: &Path) -> Result<(), String> {
    if path.as_os_str().len() > PATH_MAX {
        return Err(format!("a path has {PATH_MAX} bytes at most"));
    }
    if path.iter().any(|name| name.len() > NAME_MAX) {
        return Err(format!("a name in a path has {NAME_MAX} bytes at most"));
    }
    Ok(())
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
