//! What this host can do, found out once and passed on as data.
//!
//! Nothing outside this crate asks whether it is root or which kernel it runs on.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::Context;
use crate::cgroup::LayoutKind;
use crate::error::{Result, SysError};
use crate::idmap::{IdMap, IdRange, RANGE_SIZE, WINDOW};
use crate::mount::{Depth, OverlayWay, clone_tree, idmap, probe_overlay_way};
use crate::namespace::UserNamespace;

/// A kernel's version, comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl KernelVersion {
    /// Parses a release such as "6.12.43+deb13-amd64".
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
    }
}

/// What the daemon itself may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Root of the host.
    HostRoot,
    /// Root of a user namespace, as inside a container.
    NamespaceRoot,
    /// An ordinary user.
    User,
}

/// What this host can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFeatures {
    /// The kernel's release, as uname(1) shows it.
    pub release: String,
    /// Its version; `None` when the release does not begin with one.
    pub kernel: Option<KernelVersion>,
    /// The processor's name, such as `x86_64`.
    pub machine: String,
    /// What the daemon may do.
    pub privilege: Privilege,
    /// Which cgroup hierarchies are mounted.
    pub cgroups: LayoutKind,
    /// How overlays of idmapped layers are made; `None` when the kernel has no overlay.
    pub overlay: Option<OverlayWay>,
    /// Whether system calls can be filtered.
    pub seccomp: bool,
    /// Whether a supervisor can be asked about system calls.
    pub seccomp_notify: bool,
    /// Whether AppArmor is enabled.
    pub apparmor: bool,
    /// Whether systemd is PID 1.
    pub systemd: bool,
    /// The file systems that the kernel knows without loading a module.
    pub file_systems: Vec<String>,
}

impl HostFeatures {
    /// Looks at this host. Leaves nothing behind.
    ///
    /// # Errors
    ///
    /// When procfs is not mounted.
    pub fn probe() -> Result<Self> {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy().into_owned();
        let file_systems = file_systems(&read("/proc/filesystems")?);
        let has_overlay = file_systems.iter().any(|name| name == "overlay");
        let actions = read("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
        let apparmor = read("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
        Ok(Self {
            kernel: KernelVersion::parse(&release),
            release,
            machine: uname.machine().to_string_lossy().into_owned(),
            privilege: privilege()?,
            cgroups: LayoutKind::detect()?,
            overlay: has_overlay.then(probe_overlay_way),
            seccomp: actions.contains("errno"),
            seccomp_notify: actions.contains("user_notif"),
            apparmor: apparmor.trim() == "Y",
            systemd: Path::new("/run/systemd/system").is_dir(),
            file_systems,
        })
    }

    /// Whether the kernel knows a file system, as far as it shows without loading a module.
    pub fn has_file_system(&self, name: &str) -> bool {
        self.file_systems.iter().any(|known| known == name)
    }
}

/// Whether the file system at a path can be mounted with mapped ids.
///
/// # Errors
///
/// The reason when it cannot: `EINVAL` is the file system's, `EPERM` the caller's.
pub fn can_idmap(path: impl AsRef<Path>) -> Result<()> {
    can_idmap_tree(clone_tree(path, Depth::This)?)
}

/// Whether a detached tree can be mapped. The tree is mapped after that, to ids that nobody has.
///
/// # Errors
///
/// As [`can_idmap`].
pub fn can_idmap_tree(tree: impl AsFd) -> Result<()> {
    // Which ids it maps does not matter to the answer.
    let range = IdRange::new(WINDOW.start(), RANGE_SIZE).ok_or_else(|| {
        SysError::message("choose", "id range", io::ErrorKind::InvalidInput, "empty window")
    })?;
    idmap(tree, UserNamespace::create(&IdMap::for_range(range))?)
}

fn privilege() -> Result<Privilege> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Privilege::User);
    }
    let map = read("/proc/self/uid_map")?;
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    Ok(if whole { Privilege::HostRoot } else { Privilege::NamespaceRoot })
}

fn file_systems(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).op("read", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_parse_and_compare() {
        let parse = |text| KernelVersion::parse(text).unwrap();
        assert_eq!(parse("6.12.43+deb13-amd64"), KernelVersion { major: 6, minor: 12 });
        assert!(parse("6.1.0-38-amd64") < parse("6.12.0"));
        assert_eq!(KernelVersion::parse("linux"), None);
    }

    #[test]
    fn file_systems_are_listed_without_their_kind() {
        assert_eq!(file_systems("nodev\tsysfs\n\text4\n"), ["sysfs", "ext4"]);
    }

    #[test]
    fn this_host_can_be_probed() {
        let features = HostFeatures::probe().unwrap();
        assert!(features.kernel.is_some());
        assert!(features.has_file_system("proc"));
    }
}
