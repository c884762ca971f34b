//! Which hierarchies the host has mounted, and where.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::Context;
use crate::error::Result;
use crate::mount::{Attributes, NewMount};

/// The v1 controllers; what else stands among a mount's options is none.
const CONTROLLERS: [&str; 13] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// The three kinds of host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutKind {
    /// cgroup2 alone.
    Unified,
    /// v1 hierarchies, and a cgroup2 beside them.
    Hybrid,
    /// v1 hierarchies alone.
    Legacy,
}

/// A mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Hierarchy {
    /// Its controllers; none for a named one.
    pub controllers: Vec<String>,
    /// Its name, for a named one.
    pub name: Option<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// Where the host's hierarchies are.
#[derive(Debug)]
pub struct Layout {
    /// The cgroup2 mount.
    pub unified: PathBuf,
    /// The v1 mounts.
    pub v1: Vec<V1Hierarchy>,
    kind: LayoutKind,
    // A cgroup2 mount of our own, kept by its descriptor.
    _own: Option<OwnedFd>,
}

impl Layout {
    /// Looks at the mounts of the calling process; mounts a cgroup2 (out of sight) where there is none.
    pub fn detect() -> Result<Self> {
        let (unified, v1) = read_mounts()?;
        if let Some(unified) = unified {
            return Ok(Self::new(unified, v1));
        }
        let own = NewMount::new("cgroup2").attributes(Attributes::NO_SUID_DEV_EXEC).create()?;
        let unified = PathBuf::from(format!("/proc/self/fd/{}", own.as_raw_fd()));
        Ok(Self { unified, v1, kind: LayoutKind::Legacy, _own: Some(own) })
    }

    /// Describes a host by hand.
    pub fn new(unified: impl Into<PathBuf>, v1: Vec<V1Hierarchy>) -> Self {
        let kind = if v1.is_empty() { LayoutKind::Unified } else { LayoutKind::Hybrid };
        Self { unified: unified.into(), v1, kind, _own: None }
    }

    /// Returns which kind of host this is.
    pub fn kind(&self) -> LayoutKind {
        self.kind
    }

    /// Returns the v1 hierarchy that holds the controller, if one does.
    #[cfg(feature = "cgroups")]
    pub(super) fn v1_with(&self, controller: &str) -> Option<&V1Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.controllers.iter().any(|c| c == controller))
    }
}

fn read_mounts() -> Result<(Option<PathBuf>, Vec<V1Hierarchy>)> {
    const PATH: &str = "/proc/self/mountinfo";
    Ok(parse(&std::fs::read_to_string(PATH).op("read", PATH)?))
}

fn parse(mountinfo: &str) -> (Option<PathBuf>, Vec<V1Hierarchy>) {
    let mut unified = None;
    let mut v1: Vec<V1Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, kind, options)) = parse_line(line) else { continue };
        match kind {
            "cgroup2" if unified.is_none() => unified = Some(mount),
            "cgroup" => {
                let hierarchy = hierarchy(mount, options);
                let again = |other: &V1Hierarchy| {
                    other.controllers == hierarchy.controllers && other.name == hierarchy.name
                };
                if !v1.iter().any(again) {
                    v1.push(hierarchy);
                }
            }
            _ => {}
        }
    }
    (unified, v1)
}

/// Returns mount point, type and the file system's options.
fn parse_line(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let point = mount.split(' ').nth(4)?;
    let mut fields = file_system.split(' ');
    let kind = fields.next()?;
    Some((unescape(point), kind, fields.nth(1)?))
}

fn hierarchy(mount: PathBuf, options: &str) -> V1Hierarchy {
    let mut controllers: Vec<_> =
        options.split(',').filter(|o| CONTROLLERS.contains(o)).map(str::to_owned).collect();
    controllers.sort_unstable();
    let name = options.split(',').find_map(|option| option.strip_prefix("name="));
    V1Hierarchy { controllers, name: name.map(str::to_owned), mount }
}

/// Spaces and the like are written as octal numbers.
fn unescape(text: &str) -> PathBuf {
    let mut path = text.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        path = path.replace(code, plain);
    }
    Path::new(&path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /mnt/again rw - cgroup cgroup rw,cpuacct,cpu
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_host_is_read_without_repetition() {
        let (unified, v1) = parse(HYBRID);
        assert_eq!(unified, Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(v1.len(), 2);
        assert_eq!(v1[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(v1[1].name.as_deref(), Some("systemd"));
        assert!(v1[1].controllers.is_empty());
    }

    #[test]
    fn a_unified_host_has_no_v1() {
        let line =
            "28 22 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(parse(line), (Some(PathBuf::from("/sys/fs/cgroup")), Vec::new()));
    }
}
