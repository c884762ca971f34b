//! Control groups on this host, whatever it has.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sc_sys::cgroup::{self, CgroupTree, CpuLimit, FastAttach, InstanceCgroup, TreeOptions};
use sc_sys::command::Spawn;
use sc_sys::process::{Child, CloneOptions, Exit, Wait, spawn_child};

use crate::Test;
use crate::namespaces::BASE;

pub(crate) const TESTS: &[Test] = &[
    ("an_instance_is_born_into_its_groups_killed_and_removed", life),
    ("limits_are_set_changed_lifted_and_felt", limits),
    ("counted_processors_spread_over_instances", spreading),
    ("the_payload_belongs_to_the_guest_and_its_limits_do_not", payload),
    ("a_program_is_started_in_the_agents_group_of_every_hierarchy", agents),
    ("nothing_is_left_of_a_removed_tree", nothing_left),
    ("groups_deeper_than_any_path_are_looked_through_and_removed", deep),
    ("a_guest_makes_only_so_many_levels_of_groups", bounded),
    ("groups_that_vanish_while_they_are_looked_through_are_passed_over", vanishing),
];

struct Tree(Option<CgroupTree>);

impl Tree {
    fn open() -> Self {
        let name = format!("sc-test-{}", std::process::id());
        let options = TreeOptions { name, fast_attach: FastAttach::Yes };
        Self(Some(CgroupTree::open(&options).unwrap()))
    }
}

impl std::ops::Deref for Tree {
    type Target = CgroupTree;

    fn deref(&self) -> &CgroupTree {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for id in self.owned().unwrap() {
            let instance = self.instance(&id).unwrap();
            let _ = instance.kill();
        }
        self.0.take().unwrap().remove().unwrap();
    }
}

fn start(instance: &InstanceCgroup, body: fn()) -> Child {
    let join = instance.join().open().unwrap();
    let options = CloneOptions { cgroup: Some(join.v2.as_fd()), ..Default::default() };
    spawn_child(&options, || {
        join.enter_v1().unwrap();
        body();
        std::process::exit(0)
    })
    .unwrap()
}

/// A process is in the groups that its start was to put it into; those of the limits are among them.
fn assert_is_in(child: &Child, join: &cgroup::Join, group: &str) {
    let own = fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).unwrap();
    let (there, elsewhere): (Vec<_>, Vec<_>) = own.lines().partition(|line| line.ends_with(group));
    assert_eq!(there.len(), join.v1.len() + 1, "{own}");
    let limits = |line: &str| {
        let mut words = line.split([':', ',']);
        words.any(|word| ["cpu", "cpuset", "memory", "pids"].contains(&word))
    };
    assert!(!elsewhere.into_iter().any(limits), "{own}");
}

fn sleep() {
    std::thread::sleep(Duration::from_secs(60));
}

fn life() {
    let tree = Tree::open();
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    assert_eq!(tree.owned().unwrap(), ["c1"]);
    let child = start(&instance, sleep);
    std::thread::sleep(Duration::from_millis(50));
    assert_is_in(&child, &instance.join(), "/c1/payload");
    let error = tree.create_instance("c1", (BASE, BASE)).unwrap_err();
    assert_eq!(error.kind(), sc_sys::ErrorKind::Conflict);
    assert!(!instance.wait_exiting(Duration::ZERO).unwrap());
    instance.kill().unwrap();
    assert!(instance.wait_exiting(Duration::from_secs(5)).unwrap());
    assert_eq!(child.wait(Wait::Block).unwrap(), Some(Exit::Signal(libc::SIGKILL)));
    instance.remove().unwrap();
    assert!(tree.owned().unwrap().is_empty());
    instance.kill().unwrap();
    instance.remove().unwrap();
}

/// Forks until it is refused; ends with the number of children.
fn fork_until_refused() {
    let mut children = Vec::new();
    while let Ok(child) = spawn_child(&CloneOptions::default(), || {
        sleep();
        std::process::exit(0)
    }) {
        children.push(child);
        assert!(children.len() < 100);
    }
    for child in &children {
        child.signal(libc::SIGKILL).unwrap();
        child.wait(Wait::Block).unwrap();
    }
    std::process::exit(children.len() as i32)
}

/// Touches 64 MiB.
fn eat_memory() {
    let bytes = vec![1_u8; 64 << 20];
    std::hint::black_box(&bytes);
}

fn limits() {
    let tree = Tree::open();
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    instance.set_processes(Some(8)).unwrap();
    let exit = start(&instance, fork_until_refused).wait(Wait::Block).unwrap();
    assert_eq!(exit, Some(Exit::Code(7)));
    instance.set_processes(None).unwrap();
    instance.set_memory(Some(32 << 20)).unwrap();
    let exit = start(&instance, eat_memory).wait(Wait::Block).unwrap();
    assert_eq!(exit, Some(Exit::Signal(libc::SIGKILL)));
    instance.set_memory(None).unwrap();
    let exit = start(&instance, eat_memory).wait(Wait::Block).unwrap();
    assert_eq!(exit, Some(Exit::Code(0)));
    let usage = instance.usage().unwrap();
    assert!(usage.memory_peak.unwrap() > 64 << 20, "{usage:?}");
    assert!(usage.cpu.unwrap() > Duration::ZERO);
    assert_eq!(usage.tasks, Some(0));
}

fn spreading() {
    let tree = Tree::open();
    let usable = tree.usable_cpus().unwrap();
    if usable.len() < 2 {
        return;
    }
    let one = tree.create_instance("c1", (BASE, BASE)).unwrap();
    let two = tree.create_instance("c2", (BASE, BASE)).unwrap();
    let first = one.set_cpu(&tree, &CpuLimit::Count(1)).unwrap();
    let second = two.set_cpu(&tree, &CpuLimit::Count(1)).unwrap();
    assert_ne!(first, second);
    assert_eq!(one.set_cpu(&tree, &CpuLimit::Count(1)).unwrap(), first);
    let child = start(&one, sleep);
    std::thread::sleep(Duration::from_millis(50));
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    assert!(status.contains(&format!("Cpus_allowed_list:\t{first}\n")));
    // Wider and narrower again, while it runs.
    assert_eq!(one.set_cpu(&tree, &CpuLimit::Unlimited).unwrap(), usable);
    one.set_cpu(&tree, &CpuLimit::Set(second.clone())).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    assert!(status.contains(&format!("Cpus_allowed_list:\t{second}\n")));
    let beyond = CpuLimit::Set([8000].into_iter().collect());
    assert_eq!(one.set_cpu(&tree, &beyond).unwrap_err().kind(), sc_sys::ErrorKind::Invalid);
    child.signal(libc::SIGKILL).unwrap();
    child.wait(Wait::Block).unwrap();
}

fn payload() {
    use std::os::unix::fs::MetadataExt;
    let tree = Tree::open();
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    let procs = instance.join().v2.join("cgroup.procs");
    assert_eq!(fs::metadata(procs).unwrap().uid(), BASE);
    assert_eq!(fs::metadata(instance.directory()).unwrap().uid(), 0);
}

fn agents() {
    let tree = Tree::open();
    let join = tree.agents().open().unwrap();
    let mut spawn = Spawn::from_path("/bin/sleep").arg("60").cgroup(join.v2.as_fd());
    for procs in &join.v1 {
        spawn = spawn.join(procs.as_fd());
    }
    let child = spawn.start().unwrap();
    let own = fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).unwrap();
    assert!(
        own.lines().all(|line| line.ends_with("/agents") || line.contains(":name=sc:")),
        "{own}"
    );
    child.signal(libc::SIGKILL).unwrap();
    child.wait(Wait::Block).unwrap();
}

fn nothing_left() {
    let tree = Tree::open();
    let trees = |join: cgroup::Join| -> Vec<PathBuf> {
        let groups = join.v1.iter().filter_map(|procs| procs.parent()).chain([&*join.v2]);
        groups.filter_map(Path::parent).map(Path::to_owned).collect()
    };
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    let groups = trees(instance.join());
    let trees = trees(tree.agents());
    tree.remove_if_unused();
    assert!(groups.iter().all(|group| group.is_dir()), "{groups:?}");
    instance.remove().unwrap();
    tree.remove_if_unused();
    assert!(!trees.iter().any(|tree| tree.exists()), "{trees:?}");
    std::mem::forget(tree);
    let tree = Tree::open();
    tree.create_instance("c1", (BASE, BASE)).unwrap();
    assert!(groups.iter().all(|group| group.is_dir()), "{groups:?}");
    drop(tree);
    assert!(!trees.iter().any(|tree| tree.exists()), "{trees:?}");
}

/// Makes groups, each in the one before, with names of 30 bytes; returns how many there are.
fn dig(group: &Path, levels: usize) -> usize {
    use rustix::fs::{Mode, OFlags};
    let name = "d".repeat(30);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut here = rustix::fs::open(group, flags, Mode::empty()).unwrap();
    for made in 0..levels {
        if let Err(error) = rustix::fs::mkdirat(&here, &name, Mode::RWXU) {
            assert_eq!(error, rustix::io::Errno::AGAIN);
            return made;
        }
        here = rustix::fs::openat(&here, &name, flags, Mode::empty()).unwrap();
    }
    levels
}

fn deep() {
    let tree = Tree::open();
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    fs::write(instance.directory().join("cgroup.max.depth"), "max").unwrap();
    let join = instance.join();
    for payload in join.v1.iter().filter_map(|procs| procs.parent()).chain([&*join.v2]) {
        // More levels than there are descriptors, and in v1, where each takes long, more than a path.
        let levels = if payload == join.v2 { 3000 } else { 200 };
        assert_eq!(dig(payload, levels), levels);
    }
    instance.set_cpu(&tree, &CpuLimit::Unlimited).unwrap();
    let child = start(&instance, sleep);
    assert!(!instance.wait_exiting(Duration::ZERO).unwrap());
    instance.kill().unwrap();
    assert!(instance.wait_exiting(Duration::from_secs(5)).unwrap());
    child.wait(Wait::Block).unwrap();
    let payload = fs::File::open(&join.v2).unwrap();
    // A group is busy for a moment after its last task.
    assert!((0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        cgroup::remove_below(&payload)
    }));
    assert!(!fs::read_dir(&join.v2).unwrap().any(|entry| entry.unwrap().path().is_dir()));
    instance.remove().unwrap();
    assert!(tree.owned().unwrap().is_empty());
}

fn bounded() {
    let tree = Tree::open();
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    assert_eq!(dig(&instance.join().v2, 300), 255);
}

fn vanishing() {
    let tree = Tree::open();
    let instance = tree.create_instance("c1", (BASE, BASE)).unwrap();
    let child = start(&instance, sleep);
    let group = instance.join().v2.join("d");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                fs::create_dir(&group).unwrap();
                fs::remove_dir(&group).unwrap();
            }
        });
        let looked: Result<Vec<_>, _> = (0..3000).map(|_| instance.lasting()).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(looked.unwrap().iter().all(|tasks| tasks.len() == 1));
    });
    instance.kill().unwrap();
    child.wait(Wait::Block).unwrap();
}
