//! What the kernel says of a guest's control groups.

use super::daemon::Daemon;
use super::instance::pid;
use super::snapshot::trees;

/// The value of the first of `files` that the guest's group has, in the hierarchy of a controller
/// (cgroup v1) or in the unified one.
#[track_caller]
pub fn cgroup_value(daemon: &Daemon, instance: &str, controller: &str, files: &[&str]) -> String {
    let pid = pid(daemon, instance);
    assert_ne!(pid, 0, "{instance} runs");
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let path = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let v1 = names.split(',').any(|name| name == controller);
        let v2 = id == "0" && std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        (v1 || v2).then(|| (v1, path.to_owned()))
    });
    let (v1, path) = path.unwrap_or_else(|| panic!("no controller {controller}: {groups}"));
    let mount = if v1 { format!("/sys/fs/cgroup/{controller}") } else { "/sys/fs/cgroup".into() };
    // Limits are on the instance's group, whose child is the guest's own.
    let trees = trees(&daemon.dir());
    let split = trees.iter().find_map(|tree| Some((tree, path.split_once(&format!("/{tree}/"))?)));
    let (tree, (before, after)) = split.unwrap_or_else(|| panic!("none of {trees:?} in {path}"));
    let id = after.split('/').next().expect("a split has a first part");
    for file in files {
        if let Ok(value) = std::fs::read_to_string(format!("{mount}{before}/{tree}/{id}/{file}")) {
            return value.trim().to_owned();
        }
    }
    panic!("{mount}{before}/{tree}/{id} has none of {files:?}")
}

/// Whether the host has memory's controller in its unified hierarchy.
pub fn memory_is_in_cgroup2() -> bool {
    let known = ["", "unified/"].map(|mount| format!("/sys/fs/cgroup/{mount}cgroup.controllers"));
    let controllers = known.iter().find_map(|path| std::fs::read_to_string(path).ok());
    controllers.is_some_and(|names| names.split_whitespace().any(|name| name == "memory"))
}
