//! How fields are read where the standard way of serde takes more, or less, than clients may send.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{ConfigMap, DeviceMap};

/// Reads texts by their keys; `null` for one is the empty text, as LXD has it.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ConfigMap, D::Error> {
    let read: BTreeMap<String, Option<String>> = null_default(deserializer)?;
    Ok(read.into_iter().map(|(key, text)| (key, text.unwrap_or_default())).collect())
}

/// Reads devices, each as [`texts`].
pub(crate) fn devices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeviceMap, D::Error> {
    #[derive(Default, Deserialize)]
    struct Device(#[serde(deserialize_with = "texts")] ConfigMap);
    let read: BTreeMap<String, Device> = null_default(deserializer)?;
    Ok(read.into_iter().map(|(name, device)| (name, device.0)).collect())
}

/// Reads `null` as the type's default, as clients send it for empty maps and lists.
pub fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an object. A structure would be read from a list of its fields as well.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// Reads a list of objects; `null` is an empty one.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct One<T>(T);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            object(deserializer).map(One)
        }
    }

    let read: Vec<One<T>> = null_default(deserializer)?;
    Ok(read.into_iter().map(|one| one.0).collect())
}

#[cfg(test)]
mod tests {
    use crate::{ImagesPost, InstancesPost};

    #[test]
    fn a_list_is_no_object_wherever_it_stands() {
        let post = serde_json::from_str::<InstancesPost>(r#"{"source":["image","bb"]}"#);
        let text = "invalid type: sequence, expected an object";
        assert!(post.unwrap_err().to_string().starts_with(text));
        let post = r#"{"source":{"alias":"12"},"aliases":[["a","b"]]}"#;
        let post = serde_json::from_str::<ImagesPost>(post);
        assert!(post.unwrap_err().to_string().starts_with(text));
    }
}
