//! A root filesystem from packages: mmdebstrap, and what its words say about how far it is.

use std::{fs, path::Path};

use super::{Recipe, apt_conf::Settings, tool};
use crate::{Error, Progress, Result};

/// What every image has beside the essential packages.
const COMMON: &str = "ca-certificates,dbus,ifupdown,iproute2,iputils-ping,isc-dhcp-client,less,\
                      netbase,procps,vim-tiny";

/// Installs the packages of `recipe` from `sources` into `scratch/rootfs`.
pub(super) fn bootstrap(
    recipe: &Recipe,
    sources: &str,
    settings: &Settings,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = scratch.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path)).map(|()| path)
    };
    let sources = write("debian.sources", sources)?;
    let apt_conf = write("apt.conf", &settings.to_text())?;
    let runner = tool::contained()
        .env("TMPDIR", scratch)
        .args(["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"])
        .args(["--verbose", "--dpkgopt=force-unsafe-io"])
        .arg(format!("--aptopt={}", apt_conf.display()))
        .arg(format!("--include={COMMON},{}", init_packages(&recipe.variant)))
        .arg(&recipe.codename)
        .arg(scratch.join("rootfs"))
        .arg(sources)
        .directory(scratch);
    let step = format!("build Debian {}", recipe.version);
    let mut stages = Stages::default();
    tool::run(runner, &step, "mmdebstrap", progress, |line| stages.hear(line, progress))
}

fn init_packages(variant: &str) -> &'static str {
    match variant {
        "sysvinit" => "sysvinit-core",
        _ => "systemd-sysv,libpam-systemd",
    }
}

/// How far the installation is: each package is fetched, unpacked and set up.
#[derive(Debug, Default)]
struct Stages {
    installing: bool,
    done: u64,
    total: Option<u64>,
}

impl Stages {
    fn hear(&mut self, line: &str, progress: &dyn Progress) {
        if let Some(stage) = line.strip_prefix("I: ") {
            if stage.starts_with("running apt-get update") {
                progress.step("Fetching package lists");
            } else if stage.starts_with("downloading packages") {
                self.begin(progress, "Installing base packages");
            } else if stage.starts_with("installing remaining") {
                self.begin(progress, "Installing packages");
            }
        } else if let Some(count) = newly_installed(line) {
            self.total = Some(count * 3);
        } else if self.installing
            && ["Get:", "Unpacking ", "Setting up "].iter().any(|start| line.starts_with(start))
        {
            self.done += 1;
            progress.items(self.done, self.total.map(|total| total.max(self.done)));
        }
    }

    fn begin(&mut self, progress: &dyn Progress, step: &str) {
        *self = Self { installing: true, done: 0, total: None };
        progress.step(step);
    }
}

/// "0 upgraded, 69 newly installed, 0 to remove and 0 not upgraded."
fn newly_installed(line: &str) -> Option<u64> {
    line.split(", ").find_map(|part| part.strip_suffix(" newly installed"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Progress for Log {
        fn step(&self, name: &str) {
            self.0.lock().unwrap().push(name.to_owned());
        }

        fn bytes(&self, _: u64, _: Option<u64>) {}
        fn items(&self, done: u64, total: Option<u64>) {
            self.0.lock().unwrap().push(format!("{done}/{}", total.unwrap_or_default()));
        }
    }

    #[test]
    fn progress_follows_what_the_program_says() {
        let log = Log::default();
        let mut stages = Stages::default();
        for line in [
            "I: automatically chosen mode: root",
            "I: running apt-get update...",
            "Get:1 http://mirror.example/debian bookworm InRelease [151 kB]",
            "I: downloading packages with apt...",
            "0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.",
            "Get:1 http://mirror.example/debian bookworm/main amd64 base-files [1 kB]",
            "I: installing essential packages...",
            "Unpacking base-files (12.4) ...",
            "Setting up base-files (12.4) ...",
            "I: installing remaining packages inside the chroot...",
            "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
            "Get:1 http://mirror.example/debian bookworm/main amd64 less [1 kB]",
        ] {
            stages.hear(line, &log);
        }
        let heard = log.0.into_inner().unwrap();
        let expected = [
            "Fetching package lists",
            "Installing base packages",
            "1/3",
            "2/3",
            "3/3",
            "Installing packages",
            "1/6",
        ];
        assert_eq!(heard, expected);
    }
}
