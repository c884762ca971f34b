//! Remotes: where a name such as `debian:12` looks. `local:` is the daemon itself; `debian:` has
//! images that the daemon builds from the distribution's packages.

use anyhow::Result;
use sc_api::{ImageSource, InstanceSource};

use crate::suggest;
use crate::usage::wrong;

/// A remote.
#[derive(Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: &'static str,
    /// Its address.
    pub url: &'static str,
    /// What it speaks.
    pub protocol: Protocol,
}

/// What a remote speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The REST API.
    Api,
    /// None: images are built from packages.
    Packages,
}

impl Protocol {
    /// Its name on the wire and in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "lxd",
            Self::Packages => "packages",
        }
    }
}

/// The remotes that are known.
pub const ALL: &[Remote] = &[
    Remote { name: "local", url: "unix://", protocol: Protocol::Api },
    Remote { name: "debian", url: "", protocol: Protocol::Packages },
];

/// The remotes, and which of them an image is of where none is named.
#[derive(Debug, Clone)]
pub struct Remotes {
    /// That one.
    pub default: &'static Remote,
}

/// An image as it was named: `bb`, `debian:12`.
#[derive(Debug, PartialEq, Eq)]
pub struct ImageName {
    /// Where it is.
    pub remote: &'static Remote,
    /// Its alias or fingerprint there.
    pub name: String,
}

impl Remotes {
    /// With `default` as the one that is meant where none is named.
    pub fn with_default(default: Option<String>) -> Result<Self> {
        let name = default.as_deref().unwrap_or("local");
        Ok(Self { default: find(name)? })
    }

    /// Takes `remote:name` apart.
    pub fn split<'t>(&self, text: &'t str) -> Result<(&'static Remote, &'t str)> {
        match text.split_once(':') {
            Some((remote, name)) => Ok((find_for(remote, &text[remote.len()..])?, name)),
            None => Ok((self.default, text)),
        }
    }

    /// The name of an object of the daemon: an instance, a profile ... Without a remote it is the local
    /// daemon's, as the one that was chosen has nothing of the kind.
    pub fn object(&self, text: &str) -> Result<String> {
        match self.split(text)? {
            _ if text.is_empty() => Err(wrong("a name is empty")),
            (_, "") => Err(wrong(format!("{text:?} names a remote, but no object there"))),
            (Remote { protocol: Protocol::Api, .. }, name) => Ok(name.to_owned()),
            (_, name) if name == text => Ok(name.to_owned()),
            (remote, _) => {
                Err(wrong(format!("the remote {:?} has nothing but images", remote.name)))
            }
        }
    }

    /// The names of several objects, each once.
    pub fn objects(&self, texts: &[String]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for text in texts {
            let name = self.object(text)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// An image.
    pub fn image(&self, text: &str) -> Result<ImageName> {
        match self.split(text)? {
            _ if text.is_empty() => Err(wrong("the name of the image is empty")),
            (_, "") => Err(wrong(format!("{text:?} names a remote, but no image there"))),
            (remote, name) => Ok(ImageName { remote, name: name.to_owned() }),
        }
    }

    /// The remote that a word such as `debian:` names.
    pub fn named(&self, text: &str) -> Result<&'static Remote> {
        match self.split(text)? {
            _ if text.is_empty() => Err(wrong("the name of the remote is empty")),
            (remote, "") => Ok(remote),
            _ => Err(wrong(format!("{text:?} is no remote; one is local:"))),
        }
    }

    /// Takes a word that must be a remote with the REST API, such as `local:`.
    pub fn server(&self, text: &str) -> Result<()> {
        match self.named(text)? {
            Remote { protocol: Protocol::Api, .. } => Ok(()),
            remote => Err(wrong(format!(
                "the remote {:?} has nothing but images, which are built when they are asked for",
                remote.name
            ))),
        }
    }
}

/// The remote of this name.
pub fn find(name: &str) -> Result<&'static Remote> {
    find_for(name, "")
}

/// The remote of this name, which `rest` was written behind.
fn find_for(name: &str, rest: &str) -> Result<&'static Remote> {
    if let Some(remote) = ALL.iter().find(|remote| remote.name == name) {
        return Ok(remote);
    }
    let text = format!("there is no remote {name:?}; `sc remote list` shows those there are");
    let names: Vec<String> = ALL.iter().map(|remote| remote.name.to_owned()).collect();
    Err(wrong(match suggest::nearest(name, &names) {
        Some(meant) => format!("{text} ({})", suggest::question(&format!("{meant}{rest}"))),
        None => text,
    }))
}

impl ImageName {
    /// As the source of an instance. The server finds out what the name means.
    pub fn instance_source(&self) -> InstanceSource {
        InstanceSource {
            source_type: "image".into(),
            alias: self.name.clone(),
            protocol: self.protocol(),
            server: self.remote_url(),
            ..InstanceSource::default()
        }
    }

    /// As the source of an image.
    pub fn image_source(&self) -> ImageSource {
        ImageSource {
            source_type: "image".into(),
            protocol: self.protocol(),
            server: self.remote_url(),
            alias: self.name.clone(),
            ..ImageSource::default()
        }
    }

    fn protocol(&self) -> String {
        match self.remote.protocol {
            Protocol::Api => String::new(),
            protocol => protocol.name().to_owned(),
        }
    }

    fn remote_url(&self) -> String {
        match self.remote.protocol {
            Protocol::Api => String::new(),
            Protocol::Packages => self.remote.url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remotes() -> Remotes {
        Remotes::with_default(None).unwrap()
    }

    #[test]
    fn an_image_of_a_remote_is_asked_for_by_its_protocol() {
        let source = remotes().image("debian:12").unwrap().instance_source();
        assert_eq!((source.protocol.as_str(), source.alias.as_str()), ("packages", "12"));
        let source = remotes().image("bb").unwrap().instance_source();
        assert_eq!((source.protocol.as_str(), source.alias.as_str()), ("", "bb"));
    }

    #[test]
    fn objects_are_the_daemons_own() {
        assert_eq!(remotes().object("local:c1").unwrap(), "c1");
        assert_eq!(remotes().object("c1").unwrap(), "c1");
        assert_eq!(
            remotes().objects(&["c1", "c2", "local:c1"].map(str::to_owned)).unwrap(),
            ["c1", "c2"]
        );
        assert!(remotes().object("debian:c1").unwrap_err().to_string().contains("images"));
        assert!(remotes().object("local:").unwrap_err().to_string().contains("no object there"));
        assert_eq!(remotes().object("").unwrap_err().to_string(), "a name is empty");
        assert!(remotes().image("").unwrap_err().to_string().ends_with("image is empty"));
    }

    #[test]
    fn the_remote_that_was_chosen_is_only_that_of_images() {
        let remotes = Remotes::with_default(Some("debian".into())).unwrap();
        assert_eq!(remotes.image("12").unwrap().remote.name, "debian");
        assert_eq!(remotes.object("c1").unwrap(), "c1");
        assert!(remotes.object("debian:c1").is_err());
    }

    #[test]
    fn an_unknown_remote_is_named() {
        let text = remotes().object("nope:c1").unwrap_err().to_string();
        assert!(text.contains("\"nope\"") && text.contains("sc remote list"), "{text}");
        assert!(Remotes::with_default(Some("nope".into())).is_err());
    }
}
