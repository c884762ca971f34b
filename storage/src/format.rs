//! A pool's format file: which version and driver the folder is of.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::driver::DriverKind;
use crate::error::{Error, Result};

/// The version of the layout that this code makes, and the newest that it reads.
const VERSION: u32 = 1;

/// The file's name.
pub(crate) const FILE: &str = "format.json";
/// What a pool says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    version: u32,
    driver: String,
    /// Which extended attributes overlays of this pool keep their marks in: `trusted` or `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) xattr_namespace: Option<String>,
}

impl Format {
    pub(crate) fn new(driver: DriverKind) -> Self {
        let xattr_namespace = (driver == DriverKind::Overlay).then(|| "trusted".to_owned());
        Self { version: VERSION, driver: driver.as_str().to_owned(), xattr_namespace }
    }

    pub(crate) fn driver(&self) -> Result<DriverKind> {
        self.driver.parse()
    }

    /// Reads the format file of a folder; returns the open file too, to be locked.
    pub(crate) fn read(path: &Path) -> Result<(Self, File)> {
        let bad = |reason: String| Error::Format { path: path.to_owned(), reason };
        let file = path.join(FILE);
        let mut open = match File::open(&file) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(bad(format!("it has no {FILE}")));
            }
            other => other.map_err(Error::io("open", &file))?,
        };
        let mut text = String::new();
        open.read_to_string(&mut text).map_err(Error::io("read", &file))?;
        let format: Self =
            serde_json::from_str(&text).map_err(|err| bad(format!("{FILE}: {err}")))?;
        if format.version > VERSION {
            let newer = format!(
                "its layout has version {}, this version of the daemon reads up to {VERSION}",
                format.version
            );
            return Err(bad(newer));
        }
        Ok((format, open))
    }
}
