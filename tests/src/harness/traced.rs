//! What a daemon asks of the kernel while something is done, counted. No clock is in it: a count says
//! on any machine whether a piece of work has become more.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::daemon::Daemon;
use super::wait::eventually;

/// How long strace may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was asked of the kernel.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd)]
pub struct Counts {
    /// Commits of the store: syncs of its log.
    pub commits: usize,
    /// Other files and folders that were synced.
    pub syncs: usize,
    /// Processes of the daemon's own; threads are none.
    pub processes: usize,
    /// Netlink messages.
    pub netlink: usize,
    /// System calls, but for waits and locks, whose number is a matter of chance.
    pub calls: usize,
}

/// Counts what the daemon's threads ask of the kernel while `act` runs and in the moment after.
#[track_caller]
pub fn traced(daemon: &Daemon, act: impl FnOnce()) -> Counts {
    count(&trace(daemon, act))
}

/// A line of strace's log: a call of one of the daemon's own threads.
#[derive(Debug)]
pub(super) struct Line {
    pub pid: u32,
    pub call: String,
    /// As strace writes them, with what descriptors stand for, and the result.
    pub arguments: String,
    /// Whether this is its return alone: lines of other threads came in between.
    pub resumed: bool,
}

/// Returns what the daemon's threads ask of the kernel, in order.
#[track_caller]
pub(super) fn trace(daemon: &Daemon, act: impl FnOnce()) -> Vec<Line> {
    let log = daemon.scratch().join("strace.log");
    let mut strace = attach(daemon.pid(), &log);
    act();
    let threads = threads(daemon.pid());
    // What it has written is in the file line by line; a guest that it follows may keep it from leaving
    // in order, and the kernel lets all go when it dies.
    strace.kill().expect("our own child can be killed");
    strace.wait().expect("our own child can be reaped");
    let text = std::fs::read_to_string(&log).expect("strace has written its log");
    std::fs::remove_file(&log).expect("our own file");
    text.lines().filter_map(parse).filter(|line| threads.contains(&line.pid)).collect()
}

/// Reads `PID CALL(ARGUMENTS) = RESULT`, or the second line of a call that another thread's came in between
/// of: `PID <... CALL resumed>ARGUMENTS) = RESULT`.
fn parse(line: &str) -> Option<Line> {
    let (pid, rest) = line.split_once(' ')?;
    let (pid, rest) = (pid.parse().ok()?, rest.trim_start());
    let (call, arguments, resumed) = match rest.strip_prefix("<... ") {
        Some(rest) => {
            let (call, arguments) = rest.split_once(" resumed>")?;
            (call, arguments, true)
        }
        None => {
            let (call, arguments) = rest.split_once('(')?;
            (call, arguments, false)
        }
    };
    let is_call = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_call.then(|| Line { pid, call: call.into(), arguments: arguments.into(), resumed })
}

fn attach(pid: u32, log: &Path) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-yy", "-o"]).arg(log).args(["-p", &pid.to_string()]);
    let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("strace is missing: install the package strace");
    let attached = |task: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{task}/status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_none_or(|tracer| tracer.trim() != "0")
    };
    eventually("strace attaches", PATIENCE, || threads(pid).iter().all(attached).then_some(()));
    child
}

fn threads(pid: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon runs");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn count(lines: &[Line]) -> Counts {
    let mut counts = Counts::default();
    for Line { call, arguments, .. } in lines.iter().filter(|line| !line.resumed) {
        match call.as_str() {
            "fsync" | "fdatasync" if arguments.contains("-wal>") => counts.commits += 1,
            "fsync" | "fdatasync" | "syncfs" | "sync" => counts.syncs += 1,
            "clone" | "clone3" if arguments.contains("CLONE_THREAD") => continue,
            "clone" | "clone3" | "fork" | "vfork" => counts.processes += 1,
            "sendto" | "sendmsg" if arguments.contains("<NETLINK:") => counts.netlink += 1,
            "futex" | "epoll_wait" | "sched_yield" | "restart_syscall" => continue,
            _ => {}
        }
        counts.calls += 1;
    }
    counts
}
