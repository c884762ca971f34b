//! `metadata.yaml`: what an image says of itself.

mod yaml;

use std::collections::BTreeMap;

use sc_api::quoted;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How large a `metadata.yaml` may be, in bytes.
pub(crate) const MAX_METADATA: u64 = 1 << 20;

/// The content of an image's `metadata.yaml`, as LXD defines it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The kernel's name of the processor: "x86_64", "aarch64", …; normalised from its aliases.
    pub architecture: String,
    /// When the image was made, in seconds since 1970.
    pub creation_date: i64,
    /// When it stops being useful, in seconds since 1970; 0 for never.
    pub expiry_date: i64,
    /// Free text about the image: `os`, `release`, `description`, …
    pub properties: BTreeMap<String, String>,
    /// Files to write into each instance, by their path inside it.
    pub templates: BTreeMap<String, Template>,
}

/// One entry of `templates`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// On which events the file is written.
    pub when: Vec<When>,
    /// Only if the file is not there yet.
    pub create_only: bool,
    /// The file in the image's `templates/` folder.
    pub template: String,
    /// Further values, seen by the template as `properties`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The file's owner inside the instance.
    pub uid: u32,
    /// The file's group inside the instance.
    pub gid: u32,
    /// The file's mode, as octal digits; empty for 0644.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

/// An event of an instance's life that templates are written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The instance was made from an image.
    Create,
    /// The instance was made as a copy of another.
    Copy,
    /// The instance is about to start.
    Start,
    /// The instance has a new name.
    Rename,
}

impl Metadata {
    /// Parses and checks `metadata.yaml`; errors name the field.
    pub fn parse(yaml: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(yaml)
            .map_err(|_| Error::Metadata("it is not UTF-8 text".into()))?;
        let metadata = yaml::parse(text).map_err(Error::Metadata)?;
        metadata.checked()
    }

    /// Checks what the types do not, and normalises the processor's name.
    pub(crate) fn checked(mut self) -> Result<Self> {
        self.architecture = match normalise_architecture(&self.architecture) {
            Some(name) => name.to_owned(),
            None if self.architecture.is_empty() => {
                let text = "field architecture is empty: it must name a processor";
                return Err(Error::Metadata(text.into()));
            }
            None => {
                return Err(Error::Metadata(format!(
                    "field architecture names an unknown processor {}",
                    quoted(&self.architecture)
                )));
            }
        };
        self.templates.iter().try_for_each(|(path, template)| check_template(path, template))?;
        Ok(self)
    }

    /// Refuses an image for another processor than `host` (as `uname -m` says, see
    /// [`host_architecture`]); the 32-bit processor of the same family is accepted.
    pub fn check_architecture(&self, host: &str) -> Result<()> {
        let host = normalise_architecture(host).unwrap_or(host);
        let runs = match host {
            "x86_64" => ["x86_64", "i686"],
            "aarch64" => ["aarch64", "armv7l"],
            other => [other, other],
        };
        if runs.contains(&self.architecture.as_str()) {
            return Ok(());
        }
        Err(Error::Architecture { image: self.architecture.clone(), host: host.to_owned() })
    }

    /// Writes it as YAML, as it goes into an image.
    pub fn to_yaml(&self) -> Result<String> {
        serde_saphyr::to_string(self).map_err(|error| Error::Metadata(error.to_string()))
    }
}

impl Template {
    /// Returns the file's permission bits; `None` where `mode` cannot be read.
    pub(crate) fn file_mode(&self) -> Option<u32> {
        if self.mode.is_empty() {
            return Some(0o644);
        }
        u32::from_str_radix(&self.mode, 8).ok().filter(|mode| *mode <= 0o7777)
    }
}

/// Returns this machine's processor as the kernel names it.
pub fn host_architecture() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}

/// Returns the kernel's name of a processor given by any usual name ("amd64" for "x86_64").
pub fn normalise_architecture(name: &str) -> Option<&'static str> {
    const NAMES: [(&str, &[&str]); 12] = [
        ("x86_64", &["amd64", "x86-64", "x64"]),
        ("i686", &["i386", "i486", "i586", "386", "x86", "generic_32"]),
        ("aarch64", &["arm64"]),
        ("armv7l", &["armhf", "armhfp", "arm", "armv7a", "armv7"]),
        ("armv8l", &[]),
        ("riscv64", &[]),
        ("ppc64le", &["ppc64el", "powerpc64le"]),
        ("ppc64", &["powerpc64"]),
        ("s390x", &[]),
        ("loongarch64", &["loong64"]),
        ("mips64", &["mips64el"]),
        ("mips", &["mipsel"]),
    ];
    NAMES
        .iter()
        .find(|(kernel, aliases)| *kernel == name || aliases.contains(&name))
        .map(|(kernel, _)| *kernel)
}

fn check_template(path: &str, template: &Template) -> Result<()> {
    let wrong = |text: String| Err(Error::Metadata(text));
    let shown = quoted(path);
    if !path.starts_with('/')
        || path.contains('\0')
        || path.split('/').any(|name| name == "..")
        || path.ends_with('/')
    {
        return wrong(format!(
            "field templates: {shown} must be an absolute path of a file without \"..\""
        ));
    }
    let file = &template.template;
    if file.is_empty() || file.contains('/') || file == ".." || file == "." {
        return wrong(format!(
            "field templates, {shown}, template: {} must be a file's name in the image's templates/ \
             folder",
            quoted(file)
        ));
    }
    if template.file_mode().is_none() {
        let mode = quoted(&template.mode);
        return wrong(format!("field templates, {shown}, mode: {mode} is no octal mode"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "\
architecture: amd64
creation_date: 1717000000
expiry_date: 1719592000
properties:
  os: Debian
  release: bookworm
  version: 12
  official: true
templates:
  /etc/hostname:
    when: [create, copy]
    template: hostname.tpl
    properties: {}
  /etc/x:
    when:
    - start
    create_only: true
    template: x.tpl
    uid: \"33\"
    gid: 33
    mode: 0600
";

    #[test]
    fn a_stock_file_is_read_with_numbers_as_text() {
        let metadata = Metadata::parse(FULL.as_bytes()).unwrap();
        assert_eq!(metadata.architecture, "x86_64");
        assert_eq!(metadata.properties["version"], "12");
        assert_eq!(metadata.properties["official"], "true");
        let template = &metadata.templates["/etc/x"];
        assert_eq!((template.uid, template.gid, template.file_mode()), (33, 33, Some(0o600)));
        assert_eq!(metadata.templates["/etc/hostname"].when, [When::Create, When::Copy]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let metadata = Metadata::parse(FULL.as_bytes()).unwrap();
        let yaml = metadata.to_yaml().unwrap();
        assert_eq!(Metadata::parse(yaml.as_bytes()).unwrap(), metadata);
    }

    #[test]
    fn errors_name_the_field() {
        let error = |yaml: &str| Metadata::parse(yaml.as_bytes()).unwrap_err().to_string();
        assert!(
            error("creation_date: 1").contains("architecture"),
            "{}",
            error("creation_date: 1")
        );
        assert!(error("architecture: vax").contains("\"vax\""));
        assert!(error("architecture: ''").contains("field architecture is empty"));
        let bad = error("architecture: amd64\ntemplates:\n  /a/../b: {template: x}");
        assert!(bad.contains("/a/../b"), "{bad}");
        let bad = error("architecture: amd64\ntemplates:\n  /a: {template: ../x}");
        assert!(bad.contains("../x"), "{bad}");
        let bad = error("architecture: amd64\ntemplates:\n  /a: {template: x, when: [never]}");
        assert!(bad.contains("never"), "{bad}");
        let bad = error("architecture: [1");
        assert_eq!(bad.matches("metadata.yaml").count(), 1, "{bad}");
    }

    #[test]
    fn a_text_that_grows_without_bound_is_refused_in_plain_words() {
        let mut bomb = String::from("architecture: amd64\na0: &a0 [x]\n");
        for level in 1..9 {
            let before = vec![format!("*a{}", level - 1); 10].join(",");
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        let error = Metadata::parse(bomb.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(": it is too large or too deep at line "), "{error}");
    }

    #[test]
    fn another_processor_is_refused_and_the_same_familys_is_not() {
        let image = |name: &str| Metadata { architecture: name.into(), ..Metadata::default() };
        assert!(image("x86_64").check_architecture("x86_64").is_ok());
        assert!(image("i686").check_architecture("x86_64").is_ok());
        let error = image("aarch64").check_architecture("x86_64").unwrap_err();
        assert!(error.to_string().contains("aarch64") && error.to_string().contains("x86_64"));
    }
}
