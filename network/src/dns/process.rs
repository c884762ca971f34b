//! A process that is no child of ours: held by a pidfd, told by its command line.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use crate::watched::readable;

/// A process that was alive when it was found.
pub(super) struct Process {
    pid: Pid,
    fd: Arc<AsyncFd<OwnedFd>>,
}

/// The end of a process, to be waited for without holding the process itself.
pub(super) struct Exit(Arc<AsyncFd<OwnedFd>>);

impl Exit {
    /// Returns when the process has ended, reaped or not.
    pub async fn wait(&self) {
        // The only failure is that the runtime is going away, and the task with it.
        let _ = self.0.readable().await;
    }
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub fn exit(&self) -> Exit {
        Exit(Arc::clone(&self.fd))
    }

    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.get_ref(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.fd.get_ref(), signal)?)
    }

    /// Asks it to end, and after this time kills it.
    pub async fn end(&self, patience: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            // It may have ended by itself.
            let _ = self.signal(signal);
            if tokio::time::timeout(patience, self.exit().wait()).await.is_ok() {
                return;
            }
        }
        tracing::warn!(pid = self.pid(), "dnsmasq does not end");
    }
}

/// Finds the process that was started with this pid file, with its arguments. The file says where to
/// look first; if it lies or is gone, every process is looked at, so that none is ever lost and left
/// holding the network's ports.
pub(super) fn find(pid_file: &Path) -> Option<(Process, Vec<String>)> {
    let noted = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok());
    if let Some(found) = noted.and_then(|pid| open(pid, pid_file)) {
        return Some(found);
    }
    let entries = fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find_map(|pid| open(pid, pid_file))
}

fn open(pid: i32, pid_file: &Path) -> Option<(Process, Vec<String>)> {
    let mark = format!("--pid-file={}", pid_file.display());
    // A look before the pidfd is opened: most processes are others.
    if !arguments(pid)?.contains(&mark) || !is_the_hosts(pid) {
        return None;
    }
    let pid = Pid::from_raw(pid)?;
    let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Now that its number cannot be given to another, what it says counts. The dead say nothing.
    let args = arguments(pid.as_raw_nonzero().get()).filter(|args| args.contains(&mark))?;
    Some((Process { pid, fd: Arc::new(readable(fd).ok()?) }, args))
}

/// Whether a process is of this side's user namespace. A guest's can have any arguments, these too.
fn is_the_hosts(pid: i32) -> bool {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    namespace(&pid.to_string()).is_some_and(|of| namespace("self") == Some(of))
}

/// The arguments of a process, without its name.
fn arguments(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.split_terminator('\0').skip(1).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn a_guests_process_is_none_of_ours_whatever_its_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("dnsmasq.pid");
        let mark = format!("--pid-file={}", pid_file.display());
        for (program, is_ours) in [("env", true), ("unshare --user", false)] {
            let mut words = program.split(' ');
            let mut child = Command::new(words.next().unwrap())
                .args(words)
                .args(["sh", "-c", "echo; read line", "sh", &mark])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // It has executed the shell.
            io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
            let found = find(&pid_file).map(|(process, _)| process.pid());
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found, is_ours.then_some(child.id()), "{program}");
        }
    }
}
