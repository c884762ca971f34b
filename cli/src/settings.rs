//! What a user has settled for `sc`: a small YAML file in `SC_CONF`, or else in `sc` in the folder that
//! the XDG base directory specification names.

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::yaml;

const FILE: &str = "config.yaml";

/// What is settled.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The remote that images named without one are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_remote: Option<String>,
}

impl Settings {
    /// Reads them; without a file nothing is settled.
    pub fn load() -> Result<Self> {
        let Some(path) = path() else { return Ok(Self::default()) };
        match std::fs::read_to_string(&path) {
            Ok(text) if yaml::is_empty(&text) => Ok(Self::default()),
            Ok(text) => yaml::parse(&text)
                .map_err(|error| anyhow::anyhow!("{error}: correct the file, or remove it"))
                .with_context(|| format!("read {}", path.display())),
            Err(error) if is_absent(&error) => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes them whole, or not at all.
    pub fn save(&self) -> Result<()> {
        let path =
            path().context("HOME says nothing: name a folder for the settings in SC_CONF")?;
        let text = serde_saphyr::to_string(self).context("write the settings as YAML")?;
        let save = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let new = path.with_extension("new");
            std::fs::write(&new, text)?;
            std::fs::rename(&new, &path)
        };
        save().with_context(|| format!("write {}", path.display()))
    }
}

/// Where the file is, if there is any place for it.
pub fn path() -> Option<PathBuf> {
    let folder = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    let default = || {
        let config = folder("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        Some(config.or_else(|| Some(folder("HOME")?.join(".config")))?.join("sc"))
    };
    Some(folder("SC_CONF").or_else(default)?.join(FILE))
}

fn is_absent(error: &io::Error) -> bool {
    // A service's HOME may be a file, or a folder of another user.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}
