//! Everything an agent must know to boot one instance, resolved.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One instance, ready to boot.
///
/// Paths are the host's, as seen by the agent at its start; descriptors are indexes that count
/// from [`FIRST_SPEC_FD`](crate::FIRST_SPEC_FD).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// The instance's name; also the guest's hostname.
    pub name: String,
    /// The ids that the guest's 0.. are on the host.
    pub ids: IdRangeSpec,
    /// What the guest's `/` is made of.
    pub root: RootSpec,
    /// Host paths shown inside, after the root and the API file systems.
    pub binds: Vec<BindMount>,
    /// The program that becomes PID 1, with its arguments. Empty: the agent looks for
    /// `/sbin/init`, `/etc/init`, `/bin/init`, in the guest.
    pub init: Vec<String>,
    /// Environment of PID 1, and the base that exec's environment is laid over.
    pub environment: Vec<(String, String)>,
    /// Where the guest's processes live.
    pub cgroup: CgroupSpec,
    /// Which cgroup tree the guest sees; `None` lets the agent choose by the guest's init.
    pub cgroup_view: Option<CgroupView>,
    /// The compiled seccomp program, raw `sock_filter`s; `None` installs none.
    pub seccomp_fd: Option<usize>,
    /// Files written inside the guest before its init runs.
    pub seed_files: Vec<SeedFile>,
    /// Where the console's output is kept: opened by the agent at its start, at most
    /// `console_log_bytes` long, the previous half in a second file beside it.
    pub console_log: PathBuf,
    /// The bound on the console log, in bytes.
    pub console_log_bytes: u64,
    /// Where the agent appends one JSON line when its instance stops or reboots, so that an exit
    /// is known even when the daemon was away.
    pub exit_record: PathBuf,
    /// The agent's own log, for `info --show-log`.
    pub agent_log: PathBuf,
    /// Descriptors that must stay open for as long as the agent lives, such as the lock on the
    /// instance's volume.
    pub held_fds: Vec<usize>,
}

/// A contiguous range of ids, the same for users and groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRangeSpec {
    /// The host id of the guest's 0.
    pub base: u32,
    /// How many ids there are.
    pub count: u32,
}

/// What the guest's `/` is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RootSpec {
    /// One directory, idmapped.
    Directory {
        /// The tree.
        tree: Tree,
    },
    /// An overlay of idmapped layers.
    Overlay {
        /// Read-only layers, the topmost first.
        lowers: Vec<Layer>,
        /// The directory that holds both upper and work, idmapped as one tree.
        writable: PathBuf,
        /// The upper directory's name in `writable`.
        upper: String,
        /// The work directory's name in `writable`.
        work: String,
        /// Mount options beyond the layers, such as `("redirect_dir", "on")`.
        options: Vec<(String, String)>,
    },
}

/// A read-only layer of an overlay.
pub type Layer = Tree;

/// A directory tree on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", content = "at", rename_all = "snake_case")]
pub enum Tree {
    /// By its path.
    Path(PathBuf),
    /// A detached mount that came with the spec; not idmapped yet.
    Fd(usize),
}

/// A host path shown inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// The device's name, for messages.
    pub device: String,
    /// What is shown.
    pub source: Tree,
    /// Where, inside the guest; made when missing.
    pub target: PathBuf,
    /// Whether the guest may write.
    pub readonly: bool,
    /// Whether ownership is mapped, so that host id 0 on disk is the guest's root.
    pub idmapped: bool,
    /// Whether mounts below the source come along.
    pub recursive: bool,
}

/// Where the guest's processes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupSpec {
    /// The instance's directory in the cgroup2 tree, the parent of `payload`; freezing and
    /// killing act on it.
    pub unified: Option<PathBuf>,
    /// The instance's `payload` directory in each v1 hierarchy.
    pub v1: Vec<PathBuf>,
}

/// Which cgroup tree a guest sees at `/sys/fs/cgroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupView {
    /// Pure cgroup2.
    Unified,
    /// A tmpfs with a controller-less `name=systemd` hierarchy: systemd before 230.
    NamedSystemd,
}

/// A file written inside the guest before its init runs.
///
/// Its path is resolved inside the guest's root; no link leads out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedFile {
    /// Where, absolute in the guest.
    pub path: PathBuf,
    /// The content; `None` removes the file.
    pub content: Option<String>,
    /// Permission bits.
    pub mode: u32,
    /// Its owner, as the guest counts.
    #[serde(default)]
    pub uid: u32,
    /// Its group, as the guest counts.
    #[serde(default)]
    pub gid: u32,
    /// Write only where the file is there already (such as `/etc/machine-id`).
    pub only_existing: bool,
    /// Write only where the file is not there yet.
    pub only_missing: bool,
}

/// The init systems that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the init systems' own")]
pub enum InitKind {
    Systemd,
    Upstart,
    SysvInit,
    OpenrcInit,
    Runit,
    Busybox,
    Finit,
    Dinit,
    S6,
    /// Any other program.
    Other,
}

impl fmt::Display for InitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::Upstart => "upstart",
            Self::SysvInit => "SysV init",
            Self::OpenrcInit => "openrc-init",
            Self::Runit => "runit",
            Self::Busybox => "busybox init",
            Self::Finit => "finit",
            Self::Dinit => "dinit",
            Self::S6 => "s6",
            Self::Other => "an unknown program",
        })
    }
}
