//! Cgroups of a test's own, in every hierarchy that the host has for it.

use std::fs;
use std::path::{Path, PathBuf};

use sc_agent_protocol::CgroupSpec;

/// The instance's cgroups; removed on drop.
pub struct Cgroups {
    unified: Option<PathBuf>,
    v1: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes them, with the payload given to the guest's base id.
    pub fn make(name: &str, base: u32) -> Self {
        let (unified, v1) = mounts();
        let unified = unified.map(|root| root.join(name));
        let v1: Vec<_> = v1.into_iter().map(|root| root.join(name)).collect();
        for folder in unified.iter().chain(&v1) {
            let payload = folder.join("payload");
            fs::create_dir_all(&payload).unwrap();
            for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"] {
                let path = payload.join(file);
                if path.exists() {
                    std::os::unix::fs::chown(&path, Some(base), Some(base)).unwrap();
                }
            }
        }
        Self { unified, v1 }
    }

    pub fn spec(&self) -> CgroupSpec {
        CgroupSpec {
            unified: self.unified.clone(),
            v1: self.v1.iter().map(|folder| folder.join("payload")).collect(),
        }
    }

    /// The names of the programs' own cgroups that are there.
    pub fn leaves(&self) -> Vec<String> {
        let Some(unified) = &self.unified else { return Vec::new() };
        let entries = fs::read_dir(unified.join("payload")).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".sc-exec-")).collect()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Some(unified) = &self.unified {
            let _ = fs::write(unified.join("cgroup.kill"), "1");
        }
        for folder in self.unified.iter().chain(&self.v1) {
            for _ in 0..200 {
                remove(folder);
                if !folder.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Where cgroup2 and two hierarchies of the first version are mounted, as far as they are.
fn mounts() -> (Option<PathBuf>, Vec<PathBuf>) {
    let mut unified = None;
    let mut v1 = Vec::new();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let at = fields.iter().position(|field| *field == "-").unwrap();
        let (path, kind, options) = (PathBuf::from(fields[4]), fields[at + 1], fields[at + 3]);
        match kind {
            "cgroup2" => unified = Some(path),
            "cgroup" if options.ends_with("pids") || options.contains("name=systemd") => {
                v1.push(path)
            }
            _ => {}
        }
    }
    (unified, v1)
}
