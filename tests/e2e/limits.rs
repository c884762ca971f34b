//! Limits: read back in the guest's control group, and felt inside.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, Options, cgroup_value, status};

fn launched(config: &[&str]) -> Daemon {
    let daemon = Busybox::daemon();
    let mut args = vec!["launch", BUSYBOX, "c1"];
    args.extend(config.iter().flat_map(|setting| ["-c", setting]));
    daemon.sc(&args).ok();
    daemon
}

/// Fills so many MiB of memory with one process; its exit code is 0 when it got them.
fn takes_memory(daemon: &Daemon, mebibytes: u32) -> bool {
    let line = format!("head -c {mebibytes}m /dev/zero | tail -c {mebibytes}m | wc -c");
    let ran = daemon.exec("c1", &["sh", "-c", &line]);
    ran.stdout.trim() == (u64::from(mebibytes) << 20).to_string()
}

#[test]
fn a_memory_limit_is_read_back_and_felt_inside() {
    let daemon = launched(&["limits.memory=64MiB"]);
    let names = ["memory.limit_in_bytes", "memory.max"];
    assert_eq!(cgroup_value(&daemon, "c1", "memory", &names), (64u64 << 20).to_string());
    assert!(takes_memory(&daemon, 16), "what is below the limit is given");
    assert!(!takes_memory(&daemon, 128), "what is above it is not");
    assert_eq!(daemon.inside("c1", "echo alive"), "alive", "the guest outlives its limit");
}

#[test]
fn what_is_too_little_to_start_with_is_not_to_be_stopped_first() {
    let daemon = Busybox::daemon();
    // Only a kernel with cgroup v1 refuses a limit itself, and that only where it is very small.
    let [refused, killed] = [
        "set limits.memory: that is too little to start with: raise the limit",
        "it was killed before it could say why; a limit on memory that is too small does this",
    ];
    for limit in ["limits.memory=4KiB", "limits.memory=64KiB"] {
        let launched = daemon.sc(&["launch", BUSYBOX, "c1", "-c", limit]);
        launched.refused("start instance c1: ");
        let told = launched.stderr.contains(refused) || launched.stderr.contains(killed);
        assert!(told, "{limit}: {launched:?}");
        assert_eq!(status(&daemon, "c1"), "-", "a launch that fails leaves no instance");
    }
}

#[test]
fn a_memory_limit_changes_live() {
    let daemon = launched(&["limits.memory=32MiB"]);
    let names = ["memory.limit_in_bytes", "memory.max"];
    assert!(!takes_memory(&daemon, 64));
    daemon.sc(&["config", "set", "c1", "limits.memory=256MiB"]).ok();
    assert_eq!(cgroup_value(&daemon, "c1", "memory", &names), (256u64 << 20).to_string());
    assert!(takes_memory(&daemon, 64), "the new limit holds at once");
    daemon.sc(&["config", "unset", "c1", "limits.memory"]).ok();
    let unlimited = cgroup_value(&daemon, "c1", "memory", &names);
    assert!(unlimited == "max" || unlimited.parse::<u64>().unwrap() > 1 << 40, "{unlimited}");
}

#[test]
fn a_change_that_fails_or_is_killed_leaves_the_guest_with_the_limits_that_are_written_down() {
    let fault = Some("fail@update:limits".to_owned());
    let mut daemon = Daemon::start_with(Options { fault, ..Options::default() });
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1", "-c", "limits.processes=40"]).ok();
    daemon.sc(&["config", "set", "c1", "limits.processes=50"]).refused("limits");
    assert_eq!(daemon.sc(&["config", "get", "c1", "limits.processes"]).ok(), "40");
    assert_eq!(cgroup_value(&daemon, "c1", "pids", &["pids.max"]), "40");

    let set = ["config", "set", "c1", "limits.processes=50"];
    daemon.killed_when_asked(&set, "kill@update:limits");
    daemon.run_again();
    assert_eq!(daemon.sc(&["config", "get", "c1", "limits.processes"]).ok(), "40");
    assert_eq!(cgroup_value(&daemon, "c1", "pids", &["pids.max"]), "40");
}

#[test]
fn a_limit_of_processes_is_read_back_and_felt_inside() {
    let daemon = launched(&["limits.processes=40"]);
    assert_eq!(cgroup_value(&daemon, "c1", "pids", &["pids.max"]), "40");
    let line = "for i in $(seq 60); do sleep 5 & done 2>&1; wait";
    let forks = daemon.exec("c1", &["sh", "-c", line]);
    let text = forks.stdout + &forks.stderr;
    assert!(text.contains("can't fork"), "sixty are too many: {text}");
    daemon.sc(&["config", "set", "c1", "limits.processes=200"]).ok();
    assert_eq!(cgroup_value(&daemon, "c1", "pids", &["pids.max"]), "200");
    let line = "for i in $(seq 60); do sleep 1 & done 2>&1; wait; echo done";
    assert_eq!(daemon.inside("c1", line), "done", "with the new limit they fit");
}

#[test]
fn a_number_of_processors_is_read_back_and_felt_inside() {
    let daemon = launched(&["limits.cpu=1"]);
    let set = cgroup_value(&daemon, "c1", "cpuset", &["cpuset.cpus"]);
    assert!(set.parse::<u32>().is_ok(), "one processor: {set}");
    assert_eq!(daemon.inside("c1", "nproc"), "1");
    let first = std::thread::available_parallelism().unwrap().get().min(2);
    daemon.sc(&["config", "set", "c1", &format!("limits.cpu={first}")]).ok();
    assert_eq!(daemon.inside("c1", "nproc"), first.to_string(), "live");
    daemon.sc(&["config", "set", "c1", "limits.cpu=9999"]).ok();
    let all = daemon.inside("c1", "nproc");
    daemon.sc(&["config", "unset", "c1", "limits.cpu"]).ok();
    assert_eq!(daemon.inside("c1", "nproc"), all, "more than there are is all");
}

#[test]
fn processors_can_be_named() {
    let daemon = launched(&["limits.cpu=0-0"]);
    assert_eq!(cgroup_value(&daemon, "c1", "cpuset", &["cpuset.cpus"]), "0");
    let allowed = daemon.inside("c1", "grep Cpus_allowed_list /proc/self/status");
    assert!(allowed.ends_with("\t0"), "{allowed}");
}

#[test]
fn a_limit_that_is_none_is_refused_and_changes_nothing() {
    let daemon = launched(&["limits.memory=64MiB"]);
    daemon.sc(&["config", "set", "c1", "limits.memory=lots"]).refused("limits.memory");
    daemon.sc(&["config", "set", "c1", "limits.cpu=4096-5000"]).refused("limits.cpu");
    daemon.sc(&["config", "set", "c1", "limits.processes=-3"]).refused("limits.processes");
    let above = "limits.processes=4194305";
    daemon.sc(&["config", "set", "c1", above]).refused("limits.processes: use a whole number from");
    daemon
        .sc(&["profile", "set", "default", above])
        .refused("limits.processes: use a whole number");
    daemon.sc(&["config", "set", "c1", "limits.processes=4194304"]).ok();
    assert_eq!(cgroup_value(&daemon, "c1", "pids", &["pids.max"]), "4194304");
    assert_eq!(daemon.sc(&["config", "get", "c1", "limits.memory"]).ok(), "64MiB");
}
