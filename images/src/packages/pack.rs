//! The two files of a split image: metadata tarball and squashfs.

use std::{
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

/// systemd does this by itself at the first boot; other inits leave the file empty.
const MACHINE_ID: &str = "{{ config_get(\"volatile.uuid\")|cut:\"-\" }}\n";

/// A file that is written for each instance.
struct Seed {
    path: &'static str,
    name: &'static str,
    text: &'static str,
    when: &'static [When],
}

const HOSTNAME_SEED: Seed = Seed {
    path: "/etc/hostname",
    name: "hostname.tpl",
    text: HOSTNAME,
    when: &[When::Create, When::Copy, When::Rename],
};

const HOSTS_SEED: Seed =
    Seed { path: "/etc/hosts", name: "hosts.tpl", text: HOSTS, when: &[When::Create, When::Copy] };

const MACHINE_ID_SEED: Seed = Seed {
    path: "/etc/machine-id",
    name: "machine-id.tpl",
    text: MACHINE_ID,
    when: &[When::Create, When::Copy],
};

fn seeds(variant: &str) -> &'static [Seed] {
    match variant {
        "sysvinit" => &[HOSTNAME_SEED, HOSTS_SEED, MACHINE_ID_SEED],
        _ => &[HOSTNAME_SEED, HOSTS_SEED],
    }
}

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
    let templates = seeds(&recipe.variant).iter().map(|seed| {
        let (when, template) = (seed.when.to_vec(), seed.name.to_owned());
        (seed.path.to_owned(), Template { when, template, ..Template::default() })
    });
    Metadata {
        architecture: processor.clone(),
        creation_date: now.as_second(),
        expiry_date: 0,
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        templates: templates.collect(),
    }
}

/// Writes the metadata tarball.
pub(super) fn write_metadata(metadata: &Metadata, variant: &str, path: &Path) -> Result<()> {
    let mut entries = vec![("metadata.yaml".to_owned(), metadata.to_yaml()?)];
    for seed in seeds(variant) {
        entries.push((format!("templates/{}", seed.name), seed.text.to_owned()));
    }
    let mtime = u64::try_from(metadata.creation_date).unwrap_or_default();
    tarball(&entries, mtime, path).map_err(Error::io("write", path))
}

fn tarball(entries: &[(String, String)], mtime: u64, path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    let mut tar = tar::Builder::new(XzEncoder::new(file, 6));
    for (name, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
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

    #[test]
    fn the_metadata_of_every_recipe_is_read_back() {
        for recipe in Recipe::all() {
            let metadata = metadata(&recipe);
            let yaml = metadata.to_yaml().unwrap();
            assert_eq!(Metadata::parse(yaml.as_bytes()).unwrap(), metadata);
            assert!(metadata.properties["description"].contains(&recipe.version));
        }
    }
}
