//! The two files of a split image: metadata tarball and squashfs.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

use jiff::Timestamp;
use liblzma::write::XzEncoder;

use super::{Recipe, tool};
use crate::{
    Error, Metadata, Progress, Result,
    metadata::{Template, When, host_architecture},
};

const HOSTNAME: &str = "{{ container.name }}\n";

const HOSTS: &str = "\
127.0.0.1\tlocalhost
127.0.1.1\t{{ container.name }}

# For hosts that speak IPv6
::1\tlocalhost ip6-localhost ip6-loopback
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// What the image says of itself.
pub(super) fn metadata(recipe: &Recipe) -> Metadata {
    let now = Timestamp::now();
    let serial = now.strftime("%Y%m%d_%H%M").to_string();
    let processor = host_architecture();
    // Properties name processors as Debian does.
    let debian = match processor.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let description = format!("{} {debian} ({serial})", recipe.description);
    let properties = [
        ("os", "Debian"),
        ("release", &recipe.codename),
        ("version", &recipe.version),
        ("variant", &recipe.variant),
        ("architecture", debian),
        ("serial", &serial),
        ("description", &description),
    ];
    let template = |file: &str, when: &[When]| Template {
        when: when.to_vec(),
        template: file.to_owned(),
        ..Template::default()
    };
    Metadata {
        architecture: processor.clone(),
        creation_date: now.as_second(),
        expiry_date: 0,
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        templates: BTreeMap::from([
            (
                "/etc/hostname".to_owned(),
                template("hostname.tpl", &[When::Create, When::Copy, When::Rename]),
            ),
            ("/etc/hosts".to_owned(), template("hosts.tpl", &[When::Create, When::Copy])),
        ]),
    }
}

/// Writes the metadata tarball.
pub(super) fn write_metadata(metadata: &Metadata, path: &Path) -> Result<()> {
    let yaml = metadata.to_yaml()?;
    let files = [
        ("metadata.yaml", yaml.as_str()),
        ("templates/hostname.tpl", HOSTNAME),
        ("templates/hosts.tpl", HOSTS),
    ];
    let mtime = u64::try_from(metadata.creation_date).unwrap_or_default();
    tarball(&files, mtime, path).map_err(Error::io("write", path))
}

fn tarball(files: &[(&str, &str)], mtime: u64, path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    let mut tar = tar::Builder::new(XzEncoder::new(file, 6));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime);
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    tar.into_inner()?.finish()?.flush()
}

/// Packs a root filesystem into a squashfs.
pub(super) fn squash(rootfs: &Path, target: &Path, progress: &dyn Progress) -> Result<()> {
    progress.step("Packing");
    let runner = tool::contained().arg("mksquashfs").args([rootfs, target]).args([
        "-comp",
        "zstd",
        "-Xcompression-level",
        "3",
        "-xattrs",
        "-noappend",
        "-no-progress",
    ]);
    tool::run(runner, "pack the root filesystem", "mksquashfs", progress, |_| {})?;
    let size = fs::metadata(target).map_err(Error::io("query", target))?.len();
    progress.bytes(size, Some(size));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Remote;

    #[test]
    fn the_metadata_of_every_recipe_is_read_back() {
        for recipe in Remote::debian().list() {
            let metadata = metadata(&recipe);
            let yaml = metadata.to_yaml().unwrap();
            assert_eq!(Metadata::parse(yaml.as_bytes()).unwrap(), metadata);
            assert!(metadata.properties["description"].contains(&recipe.version));
        }
    }
}
