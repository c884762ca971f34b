//! Taking a daemon's things off the host.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::snapshot::{bridges, cgroups, is_mounted, mounts, processes};
use super::wait::patient;

/// How long processes may take to end and groups to become empty.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes away what the daemon of this `SC_DIR`, which runs no more, has on the host. It goes on
/// past failures and returns what is left.
pub fn clean_up(dir: &Path) -> Result<(), String> {
    let mut left = Vec::new();
    kill_all(dir, &mut left);
    for bridge in bridges(dir) {
        // Once the bridge's name is free it may be another daemon's.
        for family in ["inet", "bridge"] {
            quiet(Command::new("nft").args(["delete", "table", family, &format!("sc_{bridge}")]));
        }
        quiet(Command::new("ip").args(["link", "delete", &bridge]));
    }
    for mount in mounts(dir).iter().rev() {
        quiet(Command::new("umount").args(["--lazy", mount]));
    }
    if is_mounted(dir) {
        quiet(Command::new("umount").arg("--lazy").arg(dir));
    }
    remove_cgroups(dir, &mut left);
    if let Err(error) = release_ids(dir) {
        left.push(format!("id ranges: {error}"));
    }
    if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
}

/// Kills all processes of this `SC_DIR`.
pub(super) fn kill_all(dir: &Path, left: &mut Vec<String>) {
    let end = Instant::now() + patient(PATIENCE);
    loop {
        let alive = processes(dir);
        if alive.is_empty() {
            return;
        }
        if Instant::now() > end {
            left.extend(alive.into_iter().map(|(pid, command)| format!("process {pid} {command}")));
            return;
        }
        for (pid, _) in alive {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes the control groups of this `SC_DIR`; nothing may run in them any more.
pub(super) fn remove_cgroups(dir: &Path, left: &mut Vec<String>) {
    let end = Instant::now() + patient(PATIENCE);
    loop {
        let groups = cgroups(dir);
        // Those that still hold a task that is exiting are tried again.
        let stuck: Vec<_> = groups.iter().filter(|g| std::fs::remove_dir(g).is_err()).collect();
        if stuck.is_empty() {
            return;
        }
        if Instant::now() > end {
            left.extend(stuck.iter().map(|group| format!("cgroup {}", group.display())));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn release_ids(dir: &Path) -> sc_sys::Result<()> {
    let all = sc_sys::idmap::Allocator::open("/run/sc/idmap", sc_sys::idmap::WINDOW)?;
    all.release_stale(&dir.display().to_string(), |_| false)?;
    Ok(())
}

fn quiet(command: &mut Command) {
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
