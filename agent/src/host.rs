//! What an agent keeps of the host: a root of its own with nothing in it but what its guest is made of.
//!
//! At its start the agent opens everything that the spec names by a path, takes a mount namespace of its
//! own and pivots into a small tmpfs. From then on it holds none of the host's mounts back from being
//! unmounted, and cloning PID 1 copies a handful of mounts instead of the host's thousands.
//!
//! | path | what |
//! |---|---|
//! | `/proc`, `/sys` | the host's; a guest's own may be mounted only where whole ones are in sight |
//! | `/dev` | the few device nodes that guests get |
//! | `/root` | the guest's root, once it is mounted |
//! | `/binds/N` | what the spec shows inside |
//! | `/scratch` | where overlay layers are attached for a moment on older kernels |

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use sc_agent_protocol::{BootFailure, CgroupSpec, InstanceSpec, RootSpec, Tree};
use sc_sys::mount::{self, Attributes, Depth, NewMount, Propagation};
use sc_sys::namespace::{self, Namespaces};
use sc_sys::resolve::Root;
use sc_sys::{Result, SysError};

use crate::failure::{Step, plain};
use crate::nodes;
use crate::place::make_place;

/// Where the guest's root is mounted.
pub(crate) const GUEST_ROOT: &str = "/root";
/// Where overlay layers are attached for a moment.
pub(crate) const SCRATCH: &str = "/scratch";
/// Seccomp programs are limited to 4,096 instructions of 8 bytes.
const MOST_SECCOMP: u64 = 4096 * 8;
/// Covered by the new root while it is put together; every host has it.
const FOOTHOLD: &str = "/proc";

/// Trees of the guest, detached and not yet idmapped.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// The layers of an overlay, the topmost first; else the root's one tree.
    pub layers: Vec<OwnedFd>,
    /// What holds upper and work.
    pub writable: Option<OwnedFd>,
    /// As the spec's binds are ordered.
    pub binds: Vec<OwnedFd>,
}

/// The cgroups that the guest's processes enter.
#[derive(Debug)]
pub(crate) struct Cgroups {
    /// The payload in the cgroup2 tree.
    pub payload: Option<Rc<OwnedFd>>,
    /// The instance's own directory in the cgroup2 tree.
    instance: Option<OwnedFd>,
    /// The payload in each v1 hierarchy.
    v1: Vec<Version1>,
}

/// A payload in a v1 hierarchy.
#[derive(Debug)]
struct Version1 {
    path: PathBuf,
    folder: OwnedFd,
    procs: File,
}

/// What was opened on the host.
#[derive(Debug)]
pub(crate) struct Host {
    /// The cgroups to enter.
    pub cgroups: Cgroups,
    /// The compiled seccomp program.
    pub seccomp: Option<Vec<u8>>,
    /// The pid namespace in which PID 1 is cloned.
    pub pid_namespace: OwnedFd,
    /// The host's network namespace, to return to.
    pub net_namespace: OwnedFd,
    /// The agent's own pidfd, by which its children see its end.
    pub agent: OwnedFd,
    /// Held for as long as the agent lives.
    _held: Vec<OwnedFd>,
}

impl Host {
    /// Opens all that the spec names and moves into a root of its own.
    pub(crate) fn enter(
        spec: &InstanceSpec,
        descriptors: Vec<OwnedFd>,
    ) -> std::result::Result<(Self, Trees), BootFailure> {
        let mut descriptors = Descriptors(descriptors.into_iter().map(Some).collect());
        namespace::unshare(Namespaces::NEWNS).step("take own mount namespace")?;
        mount::make_propagation("/", Propagation::Private, Depth::Recursive)
            .step("take own mount namespace")?;
        let trees = open_trees(spec, &mut descriptors)?;
        let host = Self {
            cgroups: Cgroups::open(&spec.cgroup).step("open cgroup")?,
            seccomp: descriptors.read_seccomp(spec.seccomp_fd)?,
            pid_namespace: namespace::open_own("pid").step("open own namespaces")?,
            net_namespace: namespace::open_own("net").step("open own namespaces")?,
            agent: own_pidfd().step("open own namespaces")?,
            _held: descriptors.hold(&spec.held_fds)?,
        };
        pivot(&trees.binds).step("take own root")?;
        Ok((host, trees))
    }
}

/// The descriptors that came with the spec; each is used once.
struct Descriptors(Vec<Option<OwnedFd>>);

impl Descriptors {
    fn take(&mut self, index: usize) -> std::result::Result<OwnedFd, BootFailure> {
        self.0.get_mut(index).and_then(Option::take).ok_or_else(|| {
            plain("read spec", format!("descriptor {index}"), rustix::io::Errno::BADF)
        })
    }

    fn tree(&mut self, tree: &Tree, depth: Depth) -> std::result::Result<OwnedFd, BootFailure> {
        match tree {
            Tree::Path(path) => mount::clone_tree(path, depth).step("open tree"),
            Tree::Fd(index) => self.take(*index),
        }
    }

    fn read_seccomp(
        &mut self,
        index: Option<usize>,
    ) -> std::result::Result<Option<Vec<u8>>, BootFailure> {
        let Some(index) = index else { return Ok(None) };
        let mut program = Vec::new();
        let file = File::from(self.take(index)?);
        // By position: the offset is shared with whoever handed the descriptor over.
        let reader = PositionedReader { file: &file, at: 0 };
        reader
            .take(MOST_SECCOMP)
            .read_to_end(&mut program)
            .map_err(|error| SysError::new("read", "seccomp program", error))
            .step("read spec")?;
        Ok(Some(program))
    }

    fn hold(&mut self, indexes: &[usize]) -> std::result::Result<Vec<OwnedFd>, BootFailure> {
        indexes.iter().map(|index| self.take(*index)).collect()
    }
}

/// Reads a file from its start, without moving its offset.
pub(crate) struct PositionedReader<'a> {
    /// The file.
    pub file: &'a File,
    /// How far it was read.
    pub at: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let length = self.file.read_at(buffer, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

fn open_trees(
    spec: &InstanceSpec,
    descriptors: &mut Descriptors,
) -> std::result::Result<Trees, BootFailure> {
    let mut trees = Trees::default();
    match &spec.root {
        RootSpec::Directory { tree } => {
            trees.layers.push(descriptors.tree(tree, Depth::This)?);
        }
        RootSpec::Overlay { lowers, writable, .. } => {
            for layer in lowers {
                trees.layers.push(descriptors.tree(layer, Depth::This)?);
            }
            trees.writable = Some(mount::clone_tree(writable, Depth::This).step("open tree")?);
        }
    }
    for bind in &spec.binds {
        let depth = if bind.recursive { Depth::Recursive } else { Depth::This };
        trees.binds.push(descriptors.tree(&bind.source, depth)?);
    }
    Ok(trees)
}

fn own_pidfd() -> Result<OwnedFd> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    sc_sys::process::open_pidfd(pid)
}

/// Puts the small root together and makes it the root of this mount namespace.
fn pivot(binds: &[OwnedFd]) -> Result<()> {
    let proc = mount::clone_tree("/proc", Depth::This)?;
    let sys = mount::clone_tree("/sys", Depth::This)?;
    let root = NewMount::new("tmpfs")
        .option("mode", "0755")
        .option("size", "1m")
        .attributes(Attributes { no_suid: true, ..Attributes::default() })
        .create()?;
    mount::attach(&root, FOOTHOLD)?;
    let root = Root::new(root);
    for (name, tree) in [("proc", proc), ("sys", sys)] {
        mount::attach_at(tree, root.make_dirs(name, 0o755)?)?;
    }
    nodes::make_all(&root)?;
    for path in [GUEST_ROOT, SCRATCH, "/binds"] {
        root.make_dirs(path, 0o755)?;
    }
    for (number, tree) in binds.iter().enumerate() {
        make_place(&root, &bind_place(number), tree)?;
    }
    mount::pivot_into(root.fd())
}

/// Returns where the spec's bind of this number is attached.
pub(crate) fn bind_place(number: usize) -> PathBuf {
    Path::new("/binds").join(number.to_string())
}

impl Cgroups {
    fn open(spec: &CgroupSpec) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut cgroups = Self { payload: None, instance: None, v1: Vec::new() };
        if let Some(instance) = &spec.unified {
            let root = Root::open_dir(instance)?;
            cgroups.payload = Some(Rc::new(root.open("payload", flags, 0)?));
            cgroups.instance = Some(root.open(".", flags, 0)?);
        }
        for path in &spec.v1 {
            let procs = OpenOptions::new().write(true).open(path.join("cgroup.procs"));
            let procs = procs.map_err(|error| SysError::new("open", path.display(), error))?;
            let folder = Root::open_dir(path)?.open(".", flags, 0)?;
            cgroups.v1.push(Version1 { path: path.clone(), folder, procs });
        }
        Ok(cgroups)
    }

    /// Moves the calling process into the guest's v1 cgroups. Into that of cgroup2 it is born.
    pub(crate) fn enter_v1(&self) -> Result<()> {
        for cgroup in &self.v1 {
            rustix::io::write(&cgroup.procs, b"0")
                .map_err(|error| SysError::new("enter cgroup", cgroup.path.display(), error))?;
        }
        Ok(())
    }

    /// Removes what a guest that has ended has left in its cgroups; returns whether all of it is gone.
    pub(crate) fn clear(&self) -> bool {
        let all =
            self.payload.iter().map(Rc::as_ref).chain(self.v1.iter().map(|cgroup| &cgroup.folder));
        // Each is tried, whatever came of the one before.
        all.filter(|cgroup| !leftovers::clear(cgroup)).count() == 0
    }

    /// Kills all that is left of the guest. Nothing is done where the host has no cgroup2: its processes
    /// end with PID 1.
    pub(crate) fn kill(&self) {
        let Some(instance) = &self.instance else { return };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(instance, c"cgroup.kill", flags, Mode::empty()) {
            // A kernel without the file has PID 1 killed and the rest by its end.
            let _ = rustix::io::write(&fd, b"1");
        }
    }
}

/// Removes what a guest has left in its cgroups, so that the next boot's PID 1 can enter them: with
/// controllers enabled for children, a cgroup takes no process itself.
mod leftovers {
    use std::os::fd::OwnedFd;

    use rustix::fs::{Mode, OFlags};

    /// Whether the cgroup has no children left and enables nothing for them.
    pub(super) fn clear(cgroup: &OwnedFd) -> bool {
        sc_sys::cgroup::remove_below(cgroup) && disable_controllers(cgroup)
    }

    fn disable_controllers(cgroup: &OwnedFd) -> bool {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(cgroup, c"cgroup.subtree_control", flags, Mode::empty());
        // A v1 hierarchy has no such file and no such rule.
        let Ok(file) = opened else { return true };
        let mut buffer = [0_u8; 512];
        let Ok(length) = rustix::io::read(&file, &mut buffer) else { return false };
        let enabled = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let disable: Vec<String> =
            enabled.split_whitespace().map(|name| format!("-{name}")).collect();
        disable.is_empty() || rustix::io::write(&file, disable.join(" ").as_bytes()).is_ok()
    }
}
