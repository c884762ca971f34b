//! Devices in arguments: `-d NAME,key=value,...`.

use anyhow::{Result, bail};
use sc_api::{ConfigMap, DeviceMap};

use crate::keyvalue;

/// A device as an argument gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceArg {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: ConfigMap,
}

/// Parses `NAME,key=value[,key=value]...`, for clap.
pub fn parse(text: &str) -> Result<DeviceArg, String> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    if name.is_empty() || name.contains('=') {
        return Err("it must begin with the device's name, as in root,pool=fast".into());
    }
    let keys: ConfigMap = parts.map(keyvalue::parse).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(format!("it says nothing about {name:?}, as root,pool=fast does"));
    }
    Ok(DeviceArg { name: name.to_owned(), keys })
}

/// Adds devices to an instance's own: a device with a type as it is, any other as changes of the
/// one that comes from the profiles.
pub fn apply(own: &mut DeviceMap, args: &[DeviceArg], from_profiles: &DeviceMap) -> Result<()> {
    for DeviceArg { name, keys } in args {
        if !own.contains_key(name) && !keys.contains_key("type") {
            match from_profiles.get(name) {
                Some(device) => own.insert(name.clone(), device.clone()),
                None => bail!(
                    "no profile of the instance has a device {name:?}, so its `type=` is needed"
                ),
            };
        }
        own.entry(name.clone()).or_default().extend(keys.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_device_is_a_name_and_keys() {
        let device = parse("root,size=1GiB,pool=p1").unwrap();
        assert_eq!(device.name, "root");
        assert_eq!(device.keys, keys(&[("size", "1GiB"), ("pool", "p1")]));
        for bad in ["", "root", "size=1", "root,size"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_change_the_profiles_device() {
        let profiles = DeviceMap::from([("root".into(), keys(&[("type", "disk"), ("path", "/")]))]);
        let mut own = DeviceMap::new();
        apply(&mut own, &[parse("root,size=1GiB").unwrap()], &profiles).unwrap();
        assert_eq!(own["root"], keys(&[("type", "disk"), ("path", "/"), ("size", "1GiB")]));
    }

    #[test]
    fn a_device_of_no_profile_needs_its_type() {
        let mut own = DeviceMap::new();
        let none = DeviceMap::new();
        assert!(apply(&mut own, &[parse("data,path=/x").unwrap()], &none).is_err());
        apply(&mut own, &[parse("data,type=disk,path=/x").unwrap()], &none).unwrap();
        assert_eq!(own["data"]["type"], "disk");
    }
}
