//! `metadata.yaml` as it is written: by hand and by several tools, with numbers and truth values where
//! text is meant, and text where numbers are.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use sc_api::{plain, quoted};
use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use super::{Metadata, Template, When};

/// Reads the text; `Err` says what is wrong and where.
pub(super) fn parse(text: &str) -> Result<Metadata, String> {
    serde_saphyr::from_str::<Document>(text).map(Metadata::from).map_err(|error| {
        // The message goes on with a picture of the place; its first line says it all.
        let text = error.without_snippet().render_with_formatter(&Plain);
        plain(text.lines().next().unwrap_or_default().trim_start_matches("error: "), 300)
    })
}

/// The library's words for users, but for those that are none.
struct Plain;

impl MessageFormatter for Plain {
    fn format_message<'e>(&self, error: &'e serde_saphyr::Error) -> Cow<'e, str> {
        match error {
            serde_saphyr::Error::Budget { .. } => "it is too large or too deep".into(),
            error => UserMessageFormatter.format_message(error),
        }
    }
}

#[derive(Deserialize)]
struct Document {
    architecture: String,
    #[serde(default)]
    creation_date: i64,
    #[serde(default)]
    expiry_date: i64,
    #[serde(default, deserialize_with = "texts")]
    properties: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_default")]
    templates: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, deserialize_with = "null_default")]
    when: Vec<When>,
    #[serde(default)]
    create_only: bool,
    template: String,
    #[serde(default, deserialize_with = "texts")]
    properties: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "number")]
    uid: u32,
    #[serde(default, deserialize_with = "number")]
    gid: u32,
    #[serde(default, deserialize_with = "text")]
    mode: String,
}

impl From<Document> for Metadata {
    fn from(document: Document) -> Self {
        let Document { architecture, creation_date, expiry_date, properties, templates } = document;
        let templates = templates.into_iter().map(|(path, entry)| (path, entry.into())).collect();
        Self { architecture, creation_date, expiry_date, properties, templates }
    }
}

impl From<Entry> for Template {
    fn from(entry: Entry) -> Self {
        let Entry { when, create_only, template, properties, uid, gid, mode } = entry;
        Self { when, create_only, template, properties, uid, gid, mode }
    }
}

/// A value that YAML may take for a number or a truth value, where text is meant.
struct AnyText(String);

impl<'de> Deserialize<'de> for AnyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = AnyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number or a truth value")
            }

            fn visit_str<E>(self, text: &str) -> Result<AnyText, E> {
                Ok(AnyText(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<AnyText, E> {
                Ok(AnyText(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<AnyText, E> {
                Ok(AnyText(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<AnyText, E> {
                Ok(AnyText(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<AnyText, E> {
                Ok(AnyText(value.to_string()))
            }

            fn visit_unit<E>(self) -> Result<AnyText, E> {
                Ok(AnyText(String::new()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    AnyText::deserialize(deserializer).map(|text| text.0)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map = Option::<BTreeMap<String, AnyText>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map.into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// A number, which Incus writes as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = text(deserializer)?;
    if text.is_empty() {
        return Ok(0);
    }
    text.parse()
        .map_err(|_| de::Error::custom(format!("{} is no user or group number", quoted(&text))))
}

fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
