//! The typed layer: a document is one Rust type, and its text says of which version it is.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::change::{Change, Guard, Revision, Versioned};
use crate::error::DocumentError;
use crate::key::Key;

/// A type that is kept in the store.
///
/// A new field with `#[serde(default)]` needs no new version: older software ignores it. A version
/// is for what older software would misread; it then refuses the document.
pub trait Document: Serialize + DeserializeOwned {
    /// The key that all of them are beneath, such as `/instances`.
    const PREFIX: &'static str;

    /// The version of its form, from 1.
    const VERSION: u32;

    /// What follows [`Document::PREFIX`] in its key: one name a segment, any text but the empty.
    fn id(&self) -> Vec<String>;

    /// Reads the text of an older version, where that is still possible.
    fn upgrade(version: u32, json: &str) -> Option<Result<Self, serde_json::Error>> {
        let _ = (version, json);
        None
    }
}

/// A document that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc<T> {
    /// Its key.
    pub key: Key,
    /// The commit that wrote it.
    pub revision: Revision,
    /// What it says.
    pub value: T,
}

/// How a document stands in the store.
#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    document: &'a T,
}

#[derive(Deserialize)]
struct Read<'a> {
    version: u32,
    #[serde(borrow)]
    document: &'a RawValue,
}

impl<T: Document> Doc<T> {
    /// Reads what the store holds as a `T`.
    ///
    /// # Errors
    ///
    /// Fails when it is none, or of a version that cannot be read.
    pub fn read(found: &Versioned) -> Result<Self, DocumentError> {
        let key = found.key.clone();
        let decode = |source| DocumentError::Decode { key: key.clone(), source };
        let read: Read<'_> = serde_json::from_str(&found.json).map_err(decode)?;
        let json = read.document.get();
        let value = if read.version == T::VERSION {
            serde_json::from_str(json)
        } else {
            let older = read.version < T::VERSION;
            let upgraded = older.then(|| T::upgrade(read.version, json)).flatten();
            upgraded.ok_or(DocumentError::Version {
                key: key.clone(),
                found: read.version,
                known: T::VERSION,
            })?
        }
        .map_err(decode)?;
        Ok(Self { key, revision: found.revision, value })
    }

    /// The guard that nobody has changed it since.
    pub fn guard(&self) -> Guard {
        Guard::at(self.key.clone(), self.revision)
    }
}

/// The key of the `T` with this id; of all whose id begins so, if it is only the beginning.
pub(crate) fn key<T: Document>(id: &[&str]) -> Result<Key, DocumentError> {
    let prefix = T::PREFIX.split('/').skip(1);
    Ok(Key::from_segments(prefix.chain(id.iter().copied()))?)
}

/// The change that writes `document`.
///
/// # Errors
///
/// Fails when its id makes no key, or it cannot be written as JSON.
pub fn put_doc<T: Document>(document: &T) -> Result<Change, DocumentError> {
    let id = document.id();
    let key = key::<T>(&id.iter().map(String::as_str).collect::<Vec<_>>())?;
    put_at(key, T::VERSION, document)
}

/// The change that removes the `T` with this id.
///
/// # Errors
///
/// Fails when the id makes no key.
pub fn delete_doc<T: Document>(id: &[&str]) -> Result<Change, DocumentError> {
    Ok(Change::Delete { key: key::<T>(id)? })
}

/// The change that writes `document` at `key`.
pub(crate) fn put_at<T: Serialize>(
    key: Key,
    version: u32,
    document: &T,
) -> Result<Change, DocumentError> {
    match serde_json::to_string(&Written { version, document }) {
        Ok(json) => Ok(Change::Put { key, json: json.into() }),
        Err(source) => Err(DocumentError::Encode { key, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pet {
        name: String,
        legs: u32,
    }

    impl Document for Pet {
        const PREFIX: &'static str = "/pets";
        const VERSION: u32 = 3;
        fn id(&self) -> Vec<String> {
            vec!["default".into(), self.name.clone()]
        }
        fn upgrade(version: u32, json: &str) -> Option<Result<Self, serde_json::Error>> {
            let name = |json| serde_json::from_str(json).map(|name| Self { name, legs: 4 });
            (version == 2).then(|| name(json))
        }
    }

    fn stored(json: &str) -> Versioned {
        Versioned {
            key: Key::parse("/pets/default/rex").unwrap(),
            revision: Revision(7),
            json: json.into(),
        }
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let rex = Pet { name: "rex/2".into(), legs: 3 };
        let Change::Put { key, json } = put_doc(&rex).unwrap() else { panic!("a put") };
        assert_eq!(key.as_str(), "/pets/default/rex%2F2");
        let read = Doc::<Pet>::read(&Versioned { key, revision: Revision(1), json }).unwrap();
        assert_eq!(read.value, rex);
    }

    #[test]
    fn an_older_version_is_upgraded_where_that_is_possible() {
        let read = Doc::<Pet>::read(&stored(r#"{"version":2,"document":"rex"}"#)).unwrap();
        assert_eq!(read.value, Pet { name: "rex".into(), legs: 4 });
        let error = Doc::<Pet>::read(&stored(r#"{"version":1,"document":"rex"}"#)).unwrap_err();
        assert!(matches!(error, DocumentError::Version { found: 1, known: 3, .. }), "{error}");
    }

    #[test]
    fn a_newer_version_is_refused() {
        let error = Doc::<Pet>::read(&stored(r#"{"version":4,"document":{}}"#)).unwrap_err();
        assert!(matches!(error, DocumentError::Version { found: 4, .. }), "{error}");
    }
}
