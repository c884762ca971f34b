//! The daemon's own part of the host's control groups.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::cpus::CpuList;
use super::instance::InstanceCgroup;
use super::join::Join;
use super::layout::{Layout, LayoutKind, V1Hierarchy};
use super::{scope, v1};
use crate::Context;
use crate::error::{Result, SysError};

const AGENTS: &str = "agents";

/// The controllers that limit or count something here.
const USED: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];

/// Whether processes should enter v1 groups quickly, at a small price for every fork on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FastAttach {
    /// Yes: 0.02 ms instead of 10.
    Yes,
    /// No.
    No,
}

/// How a tree is opened.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// The name of the tree: one per daemon, of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Whether to ask the kernel for quick attaches where v1 is in use.
    pub fast_attach: FastAttach,
}

/// The daemon's directories in all hierarchies.
#[derive(Debug)]
pub struct CgroupTree {
    layout: Layout,
    unified: PathBuf,
    v1: Vec<(V1Hierarchy, PathBuf)>,
    /// The trees in hierarchies that nothing is limited or counted in: the agents' group and nothing else.
    /// A guest is born in it there, and so has it and not the host's root as the root that it sees.
    unused: Vec<PathBuf>,
    /// Kept for its effect.
    _fast_attach: Option<OwnedFd>,
    /// Held while processors are chosen, so that two starts do not choose the same.
    pub(super) choosing: Mutex<()>,
}

impl CgroupTree {
    /// Opens the tree on this host, making what is missing.
    ///
    /// # Errors
    ///
    /// Invalid when the name cannot be used; what the kernel or systemd says else.
    pub fn open(options: &TreeOptions) -> Result<Self> {
        Self::open_in(Layout::detect()?, options)
    }

    /// Opens the tree on a host that was described by hand.
    pub fn open_in(layout: Layout, options: &TreeOptions) -> Result<Self> {
        check_name(&options.name)?;
        let use_scope = layout.kind() == LayoutKind::Unified && scope::systemd_runs();
        let unified = if use_scope {
            scope::ensure(&layout.unified, &options.name)?
        } else {
            // Beside v1 the cgroup2 hierarchy is for kill and freeze only, and its root the host's own.
            if layout.kind() == LayoutKind::Unified {
                enable_controllers(&layout.unified)?;
            }
            layout.unified.join(&options.name)
        };
        let in_tree = |hierarchy: &V1Hierarchy| hierarchy.mount.join(&options.name);
        let (used, rest): (Vec<_>, Vec<_>) = layout.v1.iter().partition(|h| is_used(h));
        let v1: Vec<_> = used.into_iter().map(|h| (h.clone(), in_tree(h))).collect();
        let rest = rest.into_iter().filter(|h| h.name.as_deref() != Some(v1::FAVORING));
        // One that is mounted read-only, say, is no reason to do without the others.
        let made = |path: &PathBuf| make_dir(path).and_then(|()| make_dir(&path.join(AGENTS)));
        let unused = rest.map(in_tree).filter(|path| made(path).is_ok()).collect();
        let wanted = !v1.is_empty() && options.fast_attach == FastAttach::Yes;
        // A kernel that does not know the wish is slower and nothing else.
        let fast_attach = if wanted { v1::favor_attaches().ok() } else { None };
        let choosing = Mutex::new(());
        let tree = Self { layout, unified, v1, unused, _fast_attach: fast_attach, choosing };
        tree.create_frame()?;
        Ok(tree)
    }

    fn create_frame(&self) -> Result<()> {
        make_dir(&self.unified)?;
        enable_controllers(&self.unified)?;
        make_dir(&self.unified.join(AGENTS))?;
        for (hierarchy, path) in &self.v1 {
            v1::create(hierarchy, path)?;
            v1::create(hierarchy, &path.join(AGENTS))?;
        }
        Ok(())
    }

    /// Removes the tree where nothing is in it any more: no instance, no supervisor, no helper.
    /// What is in use stays; nothing can be done with the tree afterwards.
    pub fn remove_if_unused(&self) {
        if !self.owned().is_ok_and(|instances| instances.is_empty()) {
            return;
        }
        for root in self.roots() {
            // The kernel removes no group that has processes or children.
            let _ = std::fs::remove_dir(root.join(AGENTS));
            let _ = std::fs::remove_dir(root);
        }
    }

    /// Returns what the host has.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the ways into the group of supervisors and helpers.
    pub fn agents(&self) -> Join {
        let v1 = self.v1.iter().map(|(_, path)| path).chain(&self.unused);
        Join {
            v1: v1.map(|path| path.join(AGENTS).join("cgroup.procs")).collect(),
            v2: self.unified.join(AGENTS),
        }
    }

    /// Makes an instance's groups; the payload goes to the guest's root (uid and gid as the host sees
    /// them). Groups that a dead instance of this id left are taken up.
    ///
    /// # Errors
    ///
    /// Conflict when processes are still in them, invalid when the id cannot be used.
    pub fn create_instance(&self, id: &str, owner: (u32, u32)) -> Result<InstanceCgroup> {
        let instance = self.instance(id)?;
        if instance.exists() && instance.is_populated()? {
            let kind = io::ErrorKind::AlreadyExists;
            let text = "processes are still in it";
            return Err(SysError::message("create control group", id, kind, text));
        }
        match instance.create(owner) {
            Ok(()) => Ok(instance),
            Err(error) => {
                // Nothing can be in it yet; the cause of the failure matters more than that of this.
                let _ = instance.remove();
                Err(error)
            }
        }
    }

    /// Returns the handle of an instance's groups, whether they exist or not.
    pub fn instance(&self, id: &str) -> Result<InstanceCgroup> {
        check_name(id)?;
        if id == AGENTS {
            let kind = io::ErrorKind::InvalidInput;
            return Err(SysError::message("use control group", id, kind, "the name is reserved"));
        }
        let v1 = self.v1.iter().map(|(hierarchy, path)| (hierarchy.clone(), path.join(id)));
        Ok(InstanceCgroup::new(id, self.unified.join(id), v1.collect()))
    }

    /// Returns the ids of all instances that have groups in any hierarchy.
    pub fn owned(&self) -> Result<Vec<String>> {
        let mut ids = std::collections::BTreeSet::new();
        for path in self.roots() {
            for entry in std::fs::read_dir(path).op("list", path.display())? {
                let entry = entry.op("list", path.display())?;
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if let (true, Ok(name)) = (is_dir, entry.file_name().into_string()) {
                    ids.insert(name);
                }
            }
        }
        ids.remove(AGENTS);
        Ok(ids.into_iter().collect())
    }

    /// Chooses `count` processors for an instance: those that the fewest other instances are pinned to.
    pub(super) fn choose_cpus(&self, count: usize, except: &str) -> Result<CpuList> {
        let mut others = Vec::new();
        for id in self.owned()? {
            if id != except
                && let Some(cpus) = self.instance(&id)?.pinned()?
            {
                others.push(cpus);
            }
        }
        // An instance that may run everywhere says nothing about where to go.
        let online = self.usable_cpus()?;
        others.retain(|cpus| *cpus != online);
        Ok(online.least_used(count, &others))
    }

    /// Returns the processors that instances can be given.
    pub fn usable_cpus(&self) -> Result<CpuList> {
        let in_v1 = self.layout.v1_with("cpuset").map(|h| h.mount.join("cpuset.cpus"));
        let in_v2 = self.layout.unified.join("cpuset.cpus.effective");
        for path in
            in_v1.into_iter().chain([in_v2, PathBuf::from("/sys/devices/system/cpu/online")])
        {
            if let Ok(text) = std::fs::read_to_string(&path) {
                return CpuList::parse(&text);
            }
        }
        let kind = io::ErrorKind::NotFound;
        Err(SysError::message("list", "processors", kind, "the kernel shows none"))
    }

    /// Removes the whole tree: for a daemon that is taken off the machine, and for tests.
    ///
    /// # Errors
    ///
    /// `EBUSY` when processes are still in it.
    pub fn remove(self) -> Result<()> {
        for path in self.roots() {
            super::instance::remove_all(path)?;
        }
        Ok(())
    }

    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        let v1 = self.v1.iter().map(|(_, path)| path);
        std::iter::once(&self.unified).chain(v1).chain(&self.unused)
    }
}

/// Whether each instance has groups in a v1 hierarchy. In one of other controllers all guests stay in the
/// agents' group: each costs every start and stop a tenth of a millisecond and more. A named one says to the
/// host's service manager to whom a process belongs; ours does not.
fn is_used(hierarchy: &V1Hierarchy) -> bool {
    match &hierarchy.name {
        Some(name) => name != v1::FAVORING,
        None => hierarchy.controllers.iter().any(|controller| USED.contains(&&**controller)),
    }
}

fn check_name(name: &str) -> Result<()> {
    let clean = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if clean && !name.is_empty() && name.len() <= 200 && !name.starts_with('.') {
        return Ok(());
    }
    let kind = io::ErrorKind::InvalidInput;
    Err(SysError::message("use control group", name, kind, "not a usable name"))
}

pub(super) fn make_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome.op("create control group", path.display()),
    }
}

/// Enables every controller that a cgroup2 group has for the groups below it.
pub(super) fn enable_controllers(path: &Path) -> Result<()> {
    let available = v1::read(&path.join("cgroup.controllers"))?;
    let file = path.join("cgroup.subtree_control");
    let enabled = v1::read(&file)?;
    for controller in available.split_whitespace() {
        if !enabled.split_whitespace().any(|other| other == controller) {
            v1::write(&file, &format!("+{controller}"))?;
        }
    }
    Ok(())
}
