//! Templates: files that an image wants written for each new instance.
//!
//! LXD's are written for pongo2, whose everyday syntax is Jinja's.

use std::collections::BTreeMap;

use crate::{
    Result,
    metadata::{Metadata, When},
};

/// What a template may know of the instance.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The instance's name.
    pub name: &'a str,
    /// The instance's merged configuration.
    pub config: &'a BTreeMap<String, String>,
    /// The instance's merged devices.
    pub devices: &'a BTreeMap<String, BTreeMap<String, String>>,
    /// "x86_64" and so on.
    pub architecture: &'a str,
    /// Whether the instance is privileged.
    pub privileged: bool,
    /// Whether the instance is ephemeral.
    pub ephemeral: bool,
}

/// A file to write inside the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// The absolute path inside the instance.
    pub path: String,
    /// The file's content.
    pub content: Vec<u8>,
    /// The file's permission bits.
    pub mode: u32,
    /// The file's owner inside the instance.
    pub uid: u32,
    /// The file's group inside the instance.
    pub gid: u32,
    /// Leave a file alone that is already there.
    pub create_only: bool,
}

/// Renders the templates of an image that are due on `when`. `sources` are the files of the image's
/// `templates/` folder by name.
pub fn render(
    metadata: &Metadata,
    sources: &BTreeMap<String, String>,
    when: When,
    context: &Context<'_>,
) -> Result<Vec<RenderedFile>> {
    let _ = (metadata, sources, when, context);
    unimplemented!()
}
