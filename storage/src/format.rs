//! A pool's format file: which version and driver the folder is of. It is also the mark by which
//! a folder is known as a pool.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::driver::DriverKind;
use crate::error::{Error, Result};
use crate::layout::replace_file;

/// The version of the layout that this code makes, and the newest that it reads.
const VERSION: u32 = 1;

/// The file's name.
pub(crate) const FILE: &str = "format.json";

/// The file's name while it is being written.
pub(crate) const HALF_WRITTEN: &str = ".tmp-sc-format";

/// Where a pool's folder comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// It was there before the pool, and outlives it.
    #[default]
    Given,
    /// It was made for the pool, and goes with it.
    Made,
}

/// What a pool says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    version: u32,
    driver: String,
    /// Pools of before this was kept do not have it.
    #[serde(default)]
    folder: Origin,
    /// Which extended attributes overlays of this pool keep their marks in: `trusted` or `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) xattr_namespace: Option<String>,
}

impl Format {
    pub(crate) fn new(driver: DriverKind, folder: Origin) -> Self {
        let xattr_namespace = (driver == DriverKind::Overlay).then(|| "trusted".to_owned());
        Self { version: VERSION, driver: driver.as_str().to_owned(), folder, xattr_namespace }
    }

    pub(crate) fn driver(&self) -> Result<DriverKind> {
        self.driver.parse()
    }

    pub(crate) fn origin(&self) -> Origin {
        self.folder
    }

    /// Writes the format file of a folder, whole and durable.
    pub(crate) fn write(&self, folder: &OwnedFd, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("plain data serialises");
        replace_file(folder, path, FILE, HALF_WRITTEN, &text)
    }

    /// Reads the format file of a folder; returns the open file too, to be locked.
    pub(crate) fn read(path: &Path) -> Result<(Self, File)> {
        let reason = format!("it has no {FILE}");
        let missing = || Error::Format { path: path.to_owned(), reason };
        Self::find(path)?.ok_or_else(missing)
    }

    /// Reads the format file of a folder; `None` where there is none.
    pub(crate) fn find(path: &Path) -> Result<Option<(Self, File)>> {
        let bad = |reason: String| Error::Format { path: path.to_owned(), reason };
        let file = path.join(FILE);
        let mut open = match File::open(&file) {
            Err(err) if is_missing(&err) => return Ok(None),
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
        Ok(Some((format, open)))
    }
}

/// Removes a format file, or what was to be one. Not there is as good as removed.
pub(crate) fn remove(path: &Path, name: &str) -> Result<()> {
    let file = path.join(name);
    match fs::remove_file(&file) {
        Err(err) if is_missing(&err) => Ok(()),
        other => other.map_err(Error::io("remove", file)),
    }
}

/// Whether there is no such file, or not even a folder for it.
fn is_missing(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
