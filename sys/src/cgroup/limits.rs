//! Limits of an instance, set at start and while it runs.

use std::error::Error as _;
use std::io;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::cpus::CpuList;
use super::instance::InstanceCgroup;
use super::tree::CgroupTree;
use super::v1;
use crate::error::{Result, SysError};

/// Which processors an instance may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpuLimit {
    /// All.
    Unlimited,
    /// So many, chosen so that instances spread evenly. All, when the host has no more.
    Count(usize),
    /// These.
    Set(CpuList),
}

impl InstanceCgroup {
    /// Limits the memory, in bytes; `None` lifts the limit.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the instance uses more and the kernel cannot take it back (v1; on v2 it kills).
    pub fn set_memory(&self, limit: Option<u64>) -> Result<()> {
        let (path, is_v2) = self.controller("memory")?;
        let limit = limit.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        MemController::new(path.clone(), path, is_v2)
            .set_limit(limit)
            .map_err(|error| self.failure("limit memory of", error))
    }

    /// Limits the number of tasks (processes and threads); `None` lifts the limit.
    pub fn set_processes(&self, limit: Option<u64>) -> Result<()> {
        let (path, is_v2) = self.controller("pids")?;
        let limit = limit.map_or(MaxValue::Max, |count| {
            MaxValue::Value(i64::try_from(count).unwrap_or(i64::MAX))
        });
        PidController::new(path.clone(), path, is_v2)
            .set_pid_max(limit)
            .map_err(|error| self.failure("limit processes of", error))
    }

    /// Limits which processors are used; returns those that it may use now.
    ///
    /// # Errors
    ///
    /// Invalid when a set names a processor that the host does not have, or a count is 0.
    pub fn set_cpu(&self, tree: &CgroupTree, limit: &CpuLimit) -> Result<CpuList> {
        let _choosing = tree.choosing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let usable = tree.usable_cpus()?;
        let wanted = match limit {
            CpuLimit::Unlimited => usable.clone(),
            CpuLimit::Count(0) => return Err(invalid("0 processors are too few")),
            CpuLimit::Count(count) if *count >= usable.len() => usable.clone(),
            CpuLimit::Count(count) => tree.choose_cpus(*count, self.id())?,
            CpuLimit::Set(set) if set.is_empty() => {
                return Err(invalid("no processors are too few"));
            }
            CpuLimit::Set(set) => set.clone(),
        };
        check_cpus(&usable, &wanted)?;
        let (path, is_v2) = match self.controller("cpuset") {
            // Nothing to be limited needs no controller.
            Err(_) if *limit == CpuLimit::Unlimited => return Ok(wanted),
            outcome => outcome?,
        };
        if !is_v2 {
            v1::set_cpus(&path, &wanted)?;
            return Ok(wanted);
        }
        let set = |text: &str| {
            CpuSetController::new(path.clone(), path.clone(), true)
                .set_cpus(text)
                .map_err(|error| self.failure("limit processors of", error))
        };
        let lifted = match limit {
            // An empty line lifts the limit, so that processors which come later count as well. A
            // group with processes in it takes none from kernel 6.12: all that there are do there.
            CpuLimit::Unlimited => match set("\n") {
                Err(error) if error.is(libc::ENOSPC) => set(&wanted.to_string()),
                other => other,
            },
            _ => set(&wanted.to_string()),
        };
        lifted.map(|()| wanted)
    }

    /// Returns the processors that the instance is pinned to, if it is.
    pub(super) fn pinned(&self) -> Result<Option<CpuList>> {
        let Ok((path, _)) = self.controller("cpuset") else { return Ok(None) };
        // Removed meanwhile, or half made.
        let Ok(text) = v1::read(&path.join("cpuset.cpus")) else { return Ok(None) };
        let cpus = CpuList::parse(&text)?;
        Ok((!cpus.is_empty()).then_some(cpus))
    }

    fn failure(&self, op: &'static str, error: cgroups_rs::fs::error::Error) -> SysError {
        let errno = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .and_then(io::Error::raw_os_error);
        let cause = match errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(error.to_string()),
        };
        SysError::new(op, self.id(), cause)
    }
}

impl CgroupTree {
    /// Refuses a set that names a processor which the host does not have.
    pub fn check_cpus(&self, set: &CpuList) -> Result<()> {
        check_cpus(&self.usable_cpus()?, set)
    }
}

fn check_cpus(usable: &CpuList, set: &CpuList) -> Result<()> {
    let missing = set.without(usable);
    if missing.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("this host has {usable}, and not {missing}")))
}

fn invalid(text: impl Into<String>) -> SysError {
    SysError::message("limit", "processors", io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::cgroup::{FastAttach, Layout, TreeOptions};

    /// A directory that looks like a cgroup2 mount, as far as limits go; the kernel would fill in the files
    /// of new groups, so that the test makes those beforehand.
    fn unified(dir: &Path) -> CgroupTree {
        for group in ["", "t", "t/c1", "t/c2"] {
            fs::create_dir_all(dir.join(group)).unwrap();
            for (file, text) in [
                ("cgroup.controllers", "cpuset cpu memory pids\n"),
                ("cgroup.subtree_control", "cpuset cpu memory pids\n"),
                ("cgroup.events", "populated 0\nfrozen 0\n"),
                ("cpuset.cpus.effective", "0-3\n"),
                ("cpuset.cpus", "\n"),
                ("cpu.stat", "usage_usec 1500\nuser_usec 1000\n"),
                ("memory.current", "4096\n"),
                ("memory.peak", "8192\n"),
                ("memory.swap.current", "0\n"),
                ("pids.current", "3\n"),
            ] {
                fs::write(dir.join(group).join(file), text).unwrap();
            }
        }
        let options = TreeOptions { name: "t".to_owned(), fast_attach: FastAttach::No };
        CgroupTree::open_in(Layout::new(dir, Vec::new()), &options).unwrap()
    }

    #[test]
    fn limits_are_written_as_cgroup2_wants_them() {
        let dir = tempfile::tempdir().unwrap();
        let tree = unified(dir.path());
        let instance = tree.instance("c1").unwrap();
        let read = |file| fs::read_to_string(dir.path().join("t/c1").join(file)).unwrap();
        instance.set_memory(Some(1 << 30)).unwrap();
        assert_eq!(read("memory.max"), "1073741824");
        instance.set_memory(None).unwrap();
        assert_eq!(read("memory.max"), "max");
        instance.set_processes(Some(500)).unwrap();
        assert_eq!(read("pids.max"), "500");
        instance.set_processes(None).unwrap();
        assert_eq!(read("pids.max"), "max");
    }

    #[test]
    fn counted_processors_avoid_those_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let tree = unified(dir.path());
        let (one, two) = (tree.instance("c1").unwrap(), tree.instance("c2").unwrap());
        let first = one.set_cpu(&tree, &CpuLimit::Set(CpuList::parse("0-1").unwrap())).unwrap();
        assert_eq!(first.to_string(), "0-1");
        assert_eq!(two.set_cpu(&tree, &CpuLimit::Count(2)).unwrap().to_string(), "2-3");
        assert_eq!(two.set_cpu(&tree, &CpuLimit::Count(9)).unwrap().to_string(), "0-3");
        one.set_cpu(&tree, &CpuLimit::Unlimited).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("t/c1/cpuset.cpus")).unwrap(), "\n");
        for bad in [CpuLimit::Count(0), CpuLimit::Set(CpuList::parse("7").unwrap())] {
            assert_eq!(one.set_cpu(&tree, &bad).unwrap_err().kind(), crate::ErrorKind::Invalid);
        }
    }

    #[test]
    fn usage_is_read_where_cgroup2_counts_it() {
        let dir = tempfile::tempdir().unwrap();
        let usage = unified(dir.path()).instance("c1").unwrap().usage().unwrap();
        assert_eq!(
            (usage.memory, usage.memory_peak, usage.swap),
            (Some(4096), Some(8192), Some(0))
        );
        assert_eq!((usage.cpu, usage.tasks), (Some(Duration::from_micros(1500)), Some(3)));
    }
}
